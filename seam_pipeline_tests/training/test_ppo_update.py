"""Updates: accumulation, a naive loss, and reference log-probabilities."""

import pytest
import torch

from seam_pipeline.experiment import PPO
from seam_pipeline.training._ppo_actor import reference_logp
from seam_pipeline.training._ppo_update import NotFiniteError, Targets, accumulate, update
from seam_pipeline_tests.training.ppo_tools import make_actor, roll

SETTINGS = PPO(batch_size=32, minibatch_size=32, clip=0.1, value_clip=0.1, value_coefficient=0.3, max_new_tokens=32)


@pytest.fixture
def batch(tmp_path):
    """An actor, and a rollout whose old numbers are disturbed so that clips are active."""
    actor = make_actor(tmp_path / "base", scale=0.1)
    rollout = roll(actor, rows=32)
    generator = torch.Generator().manual_seed(1)
    noise = [torch.randn(rollout.mask.shape, generator=generator) for _ in range(4)]
    rollout.logp += 0.2 * noise[0]
    rollout.values += 0.2 * noise[1]
    return actor, rollout, Targets(noise[2] * rollout.mask, noise[3] * rollout.mask)


def trained(actor):
    return [*actor.views.stack.train_only(actor.adapter), *actor.head.parameters()]


def gradients(actor, rollout, targets, **changes):
    parameters = trained(actor)
    for parameter in parameters:
        parameter.grad = None
    view = actor.training()
    with actor.views.entered(view):
        stats = accumulate(actor, view, rollout, targets, list(range(32)), SETTINGS.model_copy(update=changes))
    return torch.cat([parameter.grad.flatten() for parameter in parameters]), torch.stack(stats)


def naive(actor, rollout, targets):
    """The loss of one minibatch, row by row with the library's own forward, written as in the papers."""
    parameters, losses = trained(actor), []
    with actor.views.stack.using("00_sft", "01_rl"):
        for row in range(32):
            start, count = int(rollout.prompt_lengths[row]), int(rollout.lengths[row])
            ids = rollout.sequences[row : row + 1, : start + count]
            output = actor.views.stack.model(input_ids=ids, output_hidden_states=True)
            for t in range(count):
                logp = output.logits[0, start - 1 + t].log_softmax(-1)[ids[0, start + t]]
                value = actor.head(output.hidden_states[-1][0, start - 1 + t])[0]
                ratio, advantage = (logp - rollout.logp[row, t]).exp(), targets.advantages[row, t]
                surrogate = torch.min(ratio * advantage, ratio.clamp(0.9, 1.1) * advantage)
                old, target = rollout.values[row, t], targets.returns[row, t]
                bounded = value.clamp(old - 0.1, old + 0.1)
                error = torch.max((value - target) ** 2, (bounded - target) ** 2)
                losses.append(-surrogate + 0.3 * 0.5 * error)
        torch.stack(losses).mean().backward()
    return torch.cat([parameter.grad.flatten() for parameter in parameters])


def test_a_minibatch_of_32_equals_4_times_8_and_32_times_1(batch):
    whole, stats = gradients(*batch)
    assert 0 < stats[2] < 1
    assert 0 < stats[3] < 1
    for parts in (4, 32):
        gradient, same = gradients(*batch, gradient_accumulation=parts)
        torch.testing.assert_close(gradient, whole, rtol=0, atol=1e-6)
        torch.testing.assert_close(same, stats, rtol=0, atol=1e-6)


def test_the_gradient_is_that_of_the_papers_loss(batch):
    whole, _ = gradients(*batch)
    for parameter in trained(batch[0]):
        parameter.grad = None
    expected = naive(*batch)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-5)


def test_only_adapter_and_head_are_trained(batch):
    actor, rollout, targets = batch
    optimizer = actor.optimizer(SETTINGS)
    before = {key: value.clone() for key, value in actor.views.stack.model.state_dict().items()}
    update(actor, optimizer, rollout, targets, SETTINGS.model_copy(update={"minibatch_size": 8, "epochs": 2}), 0, 0)
    changed = {
        key for key, value in actor.views.stack.model.state_dict().items() if not torch.equal(before[key], value)
    }
    assert changed
    assert all(".01_rl." in key for key in changed)
    assert all(int(state["step"]) == 8 for state in optimizer.state.values())


def test_the_first_pass_starts_at_ratio_1(batch):
    actor, _, targets = batch
    view, rollout = actor.training(), roll(actor, rows=32)
    trained(actor)
    with actor.views.entered(view):
        stats = accumulate(actor, view, rollout, targets, list(range(32)), SETTINGS)
    assert stats.approx_kl.item() == pytest.approx(0.0, abs=1e-8)
    assert stats.clip_fraction.item() == 0


def test_nothing_is_stepped_with_a_loss_that_is_not_finite(batch):
    actor, rollout, targets = batch
    optimizer = actor.optimizer(SETTINGS)
    before = actor.weights()
    with pytest.raises(NotFiniteError):
        update(actor, optimizer, rollout, Targets(targets.advantages * torch.inf, targets.returns), SETTINGS, 0, 0)
    assert all(torch.equal(one, other) for one, other in zip(before, actor.weights(), strict=True))


@pytest.mark.parametrize("lean", [True, False])
def test_reference_log_probabilities(tmp_path, lean):
    actor = make_actor(tmp_path / "base", lean=lean, temperature=0.7)
    rollout = roll(actor)
    found = reference_logp(actor, actor.reference(), rollout, most_rows=3)
    for row in range(8):
        start, count = int(rollout.prompt_lengths[row]), int(rollout.lengths[row])
        with torch.no_grad(), actor.views.stack.using("00_sft"):
            logits = actor.views.stack.model(input_ids=rollout.sequences[row : row + 1, : start + count]).logits[0]
        logp = (logits[start - 1 : -1] / 0.7).log_softmax(-1)
        expected = logp.gather(1, rollout.tokens[row, :count, None])[:, 0]
        torch.testing.assert_close(found[row, :count], expected, rtol=0, atol=1e-4)
        assert not found[row, count:].any()
