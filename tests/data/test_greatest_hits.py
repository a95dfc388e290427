"""The Greatest Hits: a video's material is the one touched most, and outdoor ones are taken."""

import pytest
from trees import film, tree

from s2s_cli.choices import Layout
from s2s_cli.data.greatest_hits import OUTDOORS, most_touched, read_touches
from s2s_cli.data.layouts import list_clips

FIRST, SECOND, THIRD = "2015-02-16-16-49-06", "2015-10-03-13-39-43-1", "2015-03-28-19-45-24"
LEAF = """\
0.5 leaf hit static
1.5 None None None
2.25 wood hit static
3.75 leaf scratch scatter
4.0 leaf None None
"""


@pytest.fixture
def folder(tmp_path):
    film(tree(tmp_path) / f"vis-data/{FIRST}_denoised.mp4", 7)
    film(tmp_path / f"vis-data/{SECOND}_mic.mp4", 4)
    for video, lines in ((FIRST, LEAF), (SECOND, "1.0 metal hit static\n"), (THIRD, LEAF)):
        (tmp_path / f"vis-data/{video}_times.txt").write_text(lines)
    return tmp_path


def test_touches_are_lines_that_tell_when_and_what(tmp_path):
    (tmp_path / "times.txt").write_text(LEAF + "\nsoon leaf hit static\n7\n8.5 dirt\nnan leaf x\n")
    assert read_touches(tmp_path / "times.txt") == [
        (0.5, "leaf"),
        (2.25, "wood"),
        (3.75, "leaf"),
        (4.0, "leaf"),
        (8.5, "dirt"),
    ]


@pytest.mark.parametrize(
    ("materials", "most"),
    [(["wood", "leaf", "leaf"], "leaf"), (["rock", "dirt"], "dirt"), ([], None)],
)
def test_the_material_is_the_one_touched_most(materials, most):
    assert most_touched([(0.0, material) for material in materials]) == most


def test_outdoor_videos_are_cut_and_keep_the_touches_of_their_material(folder):
    listing = list_clips(Layout.GREATEST_HITS, folder)
    assert [(c.key, c.start_s, c.seconds, c.moments_s) for c in listing.clips] == [
        (f"leaf/{FIRST}_clip00001", 0.0, 3.0, (0.5,)),
        (f"leaf/{FIRST}_clip00002", 3.0, 3.0, (3.75, 4.0)),
    ]
    assert (listing.named, listing.missing) == (2, (THIRD,))
    assert listing.remarks == (
        "15% of the clips were drawn for testing, as in avstyle: "
        "other clips of their videos are trained on.",
    )
    assert frozenset(("dirt", "grass", "gravel", "leaf", "water")) == OUTDOORS


def test_indoor_materials_are_had_by_name_and_all_by_naming_none(folder):
    metal = list_clips(Layout.GREATEST_HITS, folder, classes=["metal"])
    assert [clip.key for clip in metal.clips] == [f"metal/{SECOND}_clip00001"]
    assert metal.clips[0].video.name == f"{SECOND}_mic.mp4"
    assert list_clips(Layout.GREATEST_HITS, folder, classes=[]).named == 3
    one = list_clips(Layout.GREATEST_HITS, folder, classes=["metal"], seconds=2.0)
    assert [clip.start_s for clip in one.clips] == [0.0, 2.0]


def test_of_one_recording_the_denoised_video_is_taken(folder):
    for kind in ("mic", "denoised_thumb"):
        film(folder / f"a/{FIRST}_{kind}.mp4", 3)
        film(folder / f"a/{THIRD}_{kind}.mp4", 3)
    names = {clip.video.name for clip in list_clips(Layout.GREATEST_HITS, folder).clips}
    assert names == {f"{FIRST}_denoised.mp4", f"{THIRD}_denoised_thumb.mp4"}


def test_videos_without_times_and_broken_ones_are_told(folder):
    tree(folder, f"{THIRD}_denoised.mp4", "2015-01-01-00-00-00_denoised.mp4", "other.mp4")
    listing = list_clips(Layout.GREATEST_HITS, folder)
    assert len(listing.clips) == 2
    assert listing.remarks[1:] == (
        "Left out: 1 video without a _times.txt.",
        "Left out: 1 video that cannot be opened.",
    )


def test_15_percent_of_the_clips_are_for_testing_and_validation_is_whole_videos(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("s2s_cli.data.layouts.duration_s", lambda _: 90.0)
    for number in range(40):
        tree(tmp_path, f"{number}_denoised.mp4")
        (tmp_path / f"{number}_times.txt").write_text("1.0 water hit static\n")
    listing = list_clips(Layout.GREATEST_HITS, tmp_path, val_share=0.3)
    assert len(listing.clips) == 40 * 30
    tests = [clip for clip in listing.clips if clip.split == "test"]
    assert len(tests) / len(listing.clips) == pytest.approx(0.15, abs=0.03)
    others = {(c.key.split("_clip")[0], c.split) for c in listing.clips if c.split != "test"}
    assert len(others) == 40
    assert {split for _, split in others} == {"train", "val"}
