"""Which precision is taken where, and that memory is asked to be kept without harm."""

import pytest
import torch

from s2s_cli.networks.hardware import fast_precision, keep_memory


@pytest.mark.parametrize(
    ("known", "precision"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": False, "avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": False, "avx512_bf16": False}, "float32"),
        ({}, "float32"),  # no x86
    ],
)
def test_bfloat16_is_taken_where_a_processor_multiplies_it(known, precision, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert fast_precision("cpu") == precision
    assert fast_precision("mps") == "float32"


def test_keeping_memory_changes_no_number_and_may_be_asked_twice():
    a = torch.randn(2048, 4096, generator=torch.Generator().manual_seed(0))
    before = (a + 1).sum()
    keep_memory()
    keep_memory()
    assert torch.equal((a + 1).sum(), before)
