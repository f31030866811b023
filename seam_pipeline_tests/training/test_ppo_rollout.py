"""Rollouts: the kept numbers equal those of a fresh forward, lengths and end tokens are a matter of position."""

import pytest
import torch

from seam_pipeline.models.stack import AdapterStack
from seam_pipeline.training._ppo_lean import Lean, is_lean
from seam_pipeline.training._ppo_math import entropy
from seam_pipeline.training._ppo_views import Views
from seam_pipeline_tests.tiny import LORA, tiny_base
from seam_pipeline_tests.training.ppo_tools import make_actor, prompt_ids, roll


@pytest.fixture(params=[True, False], ids=["lean", "library"])
def actor(request, tmp_path):
    return make_actor(tmp_path / "base", lean=request.param, temperature=0.7)


def fresh(actor, rollout, row):
    """Logits [T, V] and hidden states [T, H] before each response token, one row alone, by the library with PEFT."""
    start, count = int(rollout.prompt_lengths[row]), int(rollout.lengths[row])
    ids = rollout.sequences[row : row + 1, : start + count]
    with torch.no_grad(), actor.views.stack.using("00_sft", "01_rl"):
        output = actor.views.stack.model(input_ids=ids, output_hidden_states=True)
    places = slice(start - 1, start + count - 1)
    return output.logits[0, places].float() / actor.temperature, output.hidden_states[-1][0, places]


def test_kept_numbers_equal_a_fresh_forward(actor):
    rollout = roll(actor)
    for row in range(8):
        mask = rollout.mask[row]
        logits, hidden = fresh(actor, rollout, row)
        expected = logits.log_softmax(-1).gather(1, rollout.tokens[row][mask][:, None])[:, 0]
        torch.testing.assert_close(rollout.logp[row][mask], expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(rollout.entropy[row][mask], entropy(logits.log_softmax(-1)), rtol=0, atol=1e-4)
        torch.testing.assert_close(rollout.values[row][mask], actor.head(hidden)[:, 0].detach(), rtol=0, atol=1e-4)


def test_lean_and_library_sample_the_same(tmp_path):
    one, other = (roll(make_actor(tmp_path / str(lean), lean=lean), rows=12, longest=20) for lean in (True, False))
    assert torch.equal(one.sequences, other.sequences)
    torch.testing.assert_close(one.logp, other.logp, rtol=0, atol=1e-4)


def test_rows_end_at_their_limit_or_end_token(actor):
    limits = torch.tensor([1, 12, 5, 9] * 4)
    stops = list(range(2, 40))
    rollout = roll(actor, rows=16, limits=limits, stops=stops)
    assert rollout.ended.any()
    assert not rollout.ended.all()
    for row in range(16):
        count, start = int(rollout.lengths[row]), int(rollout.prompt_lengths[row])
        tokens = rollout.tokens[row, :count].tolist()
        assert rollout.mask[row].tolist() == [True] * count + [False] * (rollout.mask.shape[1] - count)
        assert not set(tokens[:-1]) & set(stops)
        assert bool(rollout.ended[row]) == (tokens[-1] in stops)
        assert count == int(limits[row]) or rollout.ended[row]
        assert rollout.sequences[row, : start + count].tolist() == [*prompt_ids(actor, 16)[row], *tokens]


def test_an_end_token_that_is_also_padding_is_a_token(actor):
    probable = int(roll(actor, rows=4, limits=torch.ones(4, dtype=torch.long)).tokens[0, 0])
    rollout = roll(actor, rows=4, stops=[probable], pad=probable)
    assert rollout.ended[0]
    assert int(rollout.lengths[0]) == 1
    assert rollout.logp[0, 0] < 0


def test_a_row_does_not_depend_on_the_batch(actor):
    many = roll(actor, rows=8, limits=torch.full((8,), 12))
    few = roll(actor, rows=3, limits=torch.full((3,), 12), prompts=prompt_ids(actor, 8)[:3])
    for row in range(3):
        assert few.tokens[row][few.mask[row]].tolist() == many.tokens[row][many.mask[row]].tolist()


def test_tokens_follow_the_distribution(actor):
    rows = 1000
    prompts = [prompt_ids(actor, 1)[0]] * rows
    rollout = roll(actor, rows=rows, longest=1, prompts=prompts, limits=torch.ones(rows, dtype=torch.long))
    logits, _ = fresh(actor, rollout, 0)
    expected = logits[0].softmax(-1)
    seen = torch.bincount(rollout.tokens[:, 0], minlength=len(expected)) / rows
    deviation = (seen - expected).abs() / (expected / rows).sqrt().clamp_min(1e-4)
    assert deviation.max() < 5


@pytest.mark.parametrize("kv_heads", [1, 4])
def test_lean_equals_the_library(tmp_path, kv_heads):
    stack = AdapterStack.from_base(tiny_base(tmp_path / "base", layers=3, kv_heads=kv_heads))
    assert is_lean(stack.model)
    lean, ids = Lean(stack.model), torch.randint(3, 300, (4, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        row, place = torch.tensor([[0, 3], [0, 19], [1, 0], [3, 7]]).T
        torch.testing.assert_close(lean.states(ids, row, place), stack.hidden(ids)[row, place], rtol=1e-4, atol=1e-4)
        cache = lean.cache(4, 20)
        for rows in torch.tensor([[2, 0], [1, 3]]):
            lean.states(ids[rows, :15], torch.arange(2), torch.full((2,), 14), cache, rows)
        for place in range(15, 20):
            last = lean.step(ids[:, place], torch.full((4,), place), place + 1, cache)
        torch.testing.assert_close(last, stack.hidden(ids)[:, -1], rtol=1e-4, atol=1e-4)


def test_views_equal_active_adapters_and_leave_no_trace(tmp_path):
    actor = make_actor(tmp_path / "base")
    stack, ids = actor.views.stack, torch.randint(3, 300, (2, 9), generator=torch.Generator().manual_seed(0))
    before, every = (
        {key: value.clone() for key, value in stack.model.state_dict().items()},
        torch.ones_like(ids).nonzero(),
    )
    cases = {("00_sft", "01_rl"): (actor.sampling(), actor.training()), ("00_sft",): (actor.reference(),)}
    for names, views in cases.items():
        with torch.no_grad(), stack.using(*names):
            expected = stack.hidden(ids)
        for view in views:
            with torch.no_grad(), actor.views.entered(view):
                states = actor.views.states(view, ids, *every.T).view_as(expected)
                torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-4)
    assert stack.active == ()
    assert all(torch.equal(before[key], value) for key, value in stack.model.state_dict().items())


def test_half_precision_is_neither_folded_nor_lean(tmp_path):
    stack = AdapterStack.from_base(tiny_base(tmp_path / "base"), dtype=torch.bfloat16)
    stack.add_adapter("00_sft", LORA)
    views = Views(stack)
    assert (views.foldable, views.lean) == (False, False)
    assert views.view(["00_sft"], ["01_rl"]).active == ("00_sft", "01_rl")
