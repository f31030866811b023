"""Causal attention in pieces against torch's."""

import pytest
import torch
from torch.nn import functional as F

from seam_pipeline.training import _ppo_attention
from seam_pipeline.training._ppo_attention import causal_attention


@pytest.mark.parametrize("length", [1, 63, 64, 65, 150])
def test_equals_torch_forwards_and_backwards(length):
    generator = torch.Generator().manual_seed(length)
    # transposed from [B, T, heads, D], as the trunk hands them over
    q, k, v, g = (torch.randn(2, length, 3, 8, generator=generator).transpose(1, 2) for _ in range(4))
    inputs = [part.requires_grad_() for part in (q, k, v)]
    ours, theirs = causal_attention(*inputs), F.scaled_dot_product_attention(*inputs, is_causal=True)
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(torch.autograd.grad(ours, inputs, g), torch.autograd.grad(theirs, inputs, g), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_gradient_by_differences(monkeypatch):
    monkeypatch.setattr(_ppo_attention, "PIECE", 2)
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(1, 2, 5, 3, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)]
    assert torch.autograd.gradcheck(causal_attention, inputs)
