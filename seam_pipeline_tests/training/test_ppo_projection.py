"""The vocabulary projection in pieces equals the one in one piece, values and gradients."""

import pytest
import torch

from seam_pipeline.experiment import Lora
from seam_pipeline.models.stack import AdapterStack
from seam_pipeline.training import _ppo_projection
from seam_pipeline.training._ppo_projection import project_tokens
from seam_pipeline_tests.tiny import tiny_base


@pytest.fixture
def stack(tmp_path):
    return AdapterStack.from_base(tiny_base(tmp_path / "base"))


def numbers(stack, with_entropy, temperature=0.7):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(23, 32, generator=generator, dtype=torch.float32, requires_grad=True)
    tokens = torch.randint(300, (23,), generator=generator)
    logp, spread = project_tokens(stack, hidden, tokens, temperature, with_entropy)
    weights = torch.randn(2, 23, generator=generator)
    loss = (weights[0] * logp).sum() + ((weights[1] * spread).sum() if with_entropy else 0.0)
    loss.backward()
    return logp.detach(), spread.detach() if with_entropy else torch.zeros(23), hidden.grad


@pytest.mark.parametrize("with_entropy", [False, True])
@pytest.mark.parametrize("rows", [1, 5, 100])
def test_pieces_equal_the_whole(stack, monkeypatch, with_entropy, rows):
    whole = numbers(stack, with_entropy)
    monkeypatch.setattr(_ppo_projection, "WHOLE", 0)
    monkeypatch.setattr(_ppo_projection, "PIECE", 300 * rows)
    calls = []
    monkeypatch.setattr(AdapterStack, "lm_logits", lambda *_: calls.append(1))
    for one, other in zip(numbers(stack, with_entropy), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert not calls


def test_gradients_are_those_of_finite_differences(stack, monkeypatch):
    monkeypatch.setattr(_ppo_projection, "WHOLE", 0)
    weight = stack.model.double().get_output_embeddings().weight.detach()
    tokens = torch.tensor([5, 6, 7])
    hidden = torch.randn(3, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    piece = lambda h: torch.stack(_ppo_projection._Pieces.apply(h, weight, tokens, 0.7, True))  # noqa: E731
    step = 1e-3
    for direction in torch.eye(32, dtype=torch.float64)[:4]:
        moved = (piece(hidden + step * direction) - piece(hidden - step * direction)) / (2 * step)
        known = hidden.clone().requires_grad_()
        found = [torch.autograd.grad(part.sum(), known, retain_graph=True)[0] @ direction for part in piece(known)]
        torch.testing.assert_close(torch.stack(found).float(), moved.float(), rtol=0.02, atol=0.02)


def test_an_adapted_projection_is_made_whole(stack, monkeypatch):
    monkeypatch.setattr(_ppo_projection, "WHOLE", 0)
    assert _ppo_projection._frozen_weight(stack.model) is not None
    stack.add_adapter("00", Lora(r=2, alpha=4, dropout=0.0, target_modules=("lm_head",)))
    assert _ppo_projection._frozen_weight(stack.model) is None
    assert numbers(stack, False)[0].shape == (23,)
