"""Configs to tables and back, and every fault told at once."""

import json
import re

import pytest

from s2s_cli.choices import Curve
from s2s_cli.networks.audio_encoder import AudioEncoderConfig
from s2s_cli.networks.biggan import published_256
from s2s_cli.networks.config import from_table, to_table
from s2s_cli.networks.flow import FlowConfig
from s2s_cli.networks.image_encoder import ImageEncoderConfig
from s2s_cli.networks.layers import ResNetConfig
from s2s_cli.walks import Passage


@pytest.mark.parametrize(
    "config", [AudioEncoderConfig(), FlowConfig(), ImageEncoderConfig(), published_256()]
)
def test_a_config_survives_json(config):
    assert from_table(type(config), json.loads(json.dumps(to_table(config)))) == config


def test_hyphens_are_underscores():
    assert from_table(ResNetConfig, {"in-channels": 1}).in_channels == 1


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"widthz": [1]}, "widthz is unknown. Did you mean 'widths'?"),
        ({"widths": 3}, "widths = 3 must be a list"),
        ({"in_channels": "three"}, "in_channels = 'three' must be a whole number"),
        ({"in_channels": True}, "in_channels = True must be a whole number"),
        ({"block": "brick"}, "block = 'brick' must be one of 'basic', 'bottleneck'"),
    ],
)
def test_a_fault_is_named(table, fault):
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        from_table(ResNetConfig, table)


def test_all_faults_are_told_at_once_with_their_places():
    with pytest.raises(ValueError, match="; ") as raised:
        from_table(FlowConfig, {"steps": 0.5, "velocity": {"heads": "x", "wdth": 1}})
    told = str(raised.value).split("; ")
    assert sorted(told) == [
        "steps = 0.5 must be a whole number",
        "velocity.heads = 'x' must be a whole number",
        "velocity.wdth is unknown. Did you mean 'width'?",
    ]


def test_a_choice_is_one_of_its_names():
    assert from_table(Passage, {"curve": "spherical"}).curve is Curve.SPHERICAL
    with pytest.raises(ValueError, match="curve = 'round' must be one of linear, spherical"):
        from_table(Passage, {"curve": "round"})


def test_unknown_names_are_told_in_one_order():
    """In that of a set, the sentence would be another one in every run."""
    names = [f"x{number:02}" for number in range(20)]
    with pytest.raises(ValueError, match="x00") as fault:
        from_table(ResNetConfig, dict.fromkeys(reversed(names), 1))
    assert [part.split()[0] for part in str(fault.value).split("; ")] == names
