"""Updates: accumulation, a naive loss, and reference log-probabilities."""

import pytest
import torch

from seam_pipeline.errors import SeamError
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


def naive(actor, rollout, targets, bonus=0.0):
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
                logits = output.logits[0, start - 1 + t].double()
                spread = torch.distributions.Categorical(logits=logits).entropy()
                losses.append(-surrogate + 0.3 * 0.5 * error - bonus * spread)
        torch.stack(losses).mean().backward()
    return torch.cat([parameter.grad.flatten() for parameter in parameters])


def test_a_minibatch_of_32_equals_4_times_8_and_32_times_1(batch):
    whole, stats = gradients(*batch)
    assert 0 < stats[2] < 1
    assert 0 < stats[3] < 1
    for parts in (4, 32):
        gradient, same = gradients(*batch, gradient_accumulation=parts)
        torch.testing.assert_close(gradient, whole, rtol=0, atol=1e-6)
        torch.testing.assert_close(same, stats, rtol=0, atol=5e-6)


@pytest.mark.parametrize("bonus", [0.0, 0.5])
def test_the_gradient_is_that_of_the_papers_loss(batch, bonus):
    whole, _ = gradients(*batch, entropy_coefficient=bonus)
    for parameter in trained(batch[0]):
        parameter.grad = None
    expected = naive(*batch, bonus)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-5)


def test_recomputed_layers_give_the_same_gradient_and_leave_no_trace(batch):
    actor, lean, calls = batch[0], gradients(*batch)[0], []
    hook = actor.views.stack.model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    with actor.views.recomputing(True):
        again, _ = gradients(*batch)
    forwards = len(calls)
    calls.clear()
    actor.views.lean = False
    whole, _ = gradients(*batch)
    hook.remove()
    assert forwards == 2 * len(calls)
    torch.testing.assert_close(again, whole, rtol=0, atol=1e-7)
    torch.testing.assert_close(lean, whole, rtol=0, atol=2e-6)
    assert not any(module.training for module in actor.views.stack.model.modules())


def weights_after(folder, steps=3, **changes):
    """Weights after some steps of real rollouts and updates, each on the policy that the one before left."""
    actor = make_actor(folder, scale=0.1)
    settings = SETTINGS.model_copy(update={"epochs": 2, "learning_rate": 1e-2, **changes})
    optimizer = actor.optimizer(settings)
    for step in range(steps):
        rollout = roll(actor, rows=32, seed=step)
        score = torch.randn(rollout.mask.shape, generator=torch.Generator().manual_seed(step))
        stats = update(
            actor, optimizer, rollout, Targets(score * rollout.mask, score * rollout.mask), settings, 0, step
        )
    return torch.cat([weight.flatten() for weight in actor.weights()]), stats


def test_a_trajectory_of_batches_of_32_equals_4_times_8_accumulated(tmp_path):
    whole, stats = weights_after(tmp_path / "whole")
    parts, same = weights_after(tmp_path / "parts", gradient_accumulation=4)
    torch.testing.assert_close(parts, whole, rtol=0, atol=2e-6)
    for name, value in stats.items():
        one_token = 0.01 if name.endswith("clip_fraction") else 1e-5
        assert same[name] == pytest.approx(value, abs=one_token)
    start, _ = weights_after(tmp_path / "start", steps=1, learning_rate=1e-30)
    assert (whole - start).abs().max() > 1e-2


def test_epochs_end_before_an_update_that_is_past_the_target(tmp_path):
    free, stats = weights_after(tmp_path / "free", steps=1)
    assert (stats["updates"], stats["kl_stop"]) == (2, 0)
    one, _ = weights_after(tmp_path / "one", steps=1, epochs=1)
    held, stats = weights_after(tmp_path / "held", steps=1, target_kl=1e-9)
    assert (stats["updates"], stats["kl_stop"]) == (1, 1)
    assert torch.equal(held, one)
    assert not torch.equal(held, free)
    _, stats = weights_after(tmp_path / "far", steps=1, target_kl=1e9)
    assert (stats["updates"], stats["kl_stop"]) == (2, 0)


def test_the_epochs_stop_at_one_and_a_half_times_the_target(tmp_path):
    _, stats = weights_after(tmp_path / "free", steps=1)
    second = 2 * stats["approx_kl"]  # the mean of 0 at the first update and this
    assert second > 1e-4
    for target, stop in ((second / 1.45, 0), (second / 1.55, 1)):
        assert weights_after(tmp_path / str(stop), steps=1, target_kl=target)[1]["kl_stop"] == stop


def test_log_probabilities_that_sampling_got_wrong_are_refused(batch):
    actor, rollout, targets = batch
    before = actor.weights()
    with pytest.raises(
        SeamError, match=r"Sampling from LlamaForCausalLM .* up to 0\.\d+ nats away.* \(allowed: 0\.01\)"
    ):
        update(actor, actor.optimizer(SETTINGS), rollout, targets, SETTINGS, 0, 0)
    assert all(torch.equal(one, other) for one, other in zip(before, actor.weights(), strict=True))


def test_only_adapter_and_head_are_trained(batch):
    actor, rollout, targets = batch
    optimizer = actor.optimizer(SETTINGS)
    before = {key: value.clone() for key, value in actor.views.stack.model.state_dict().items()}
    update(actor, optimizer, rollout, targets, SETTINGS.model_copy(update={"minibatch_size": 8, "epochs": 2}), 0, 1)
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
