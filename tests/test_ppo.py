"""The example of recurrent PPO: the task is what it says, both ways of training agree, and the agent learns."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tolerances import assert_close

pytest.importorskip("gymnasium", reason="the examples with environments need gatewright[rl]")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ppo():
    path = Path(__file__).parents[1] / "examples" / "ppo.py"
    spec = importlib.util.spec_from_file_location("ppo_example", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_maze(ppo):
    env = ppo.TMaze(3, length=2)
    x, _ = env.reset(seed=0)
    assert env.observation_space.contains(x)
    assert (x[:, :2].sum(1) == 1).all() and (x[:, 2] == 1).all()
    prize = np.where(x[:, 0] == 1, ppo.LEFT, ppo.RIGHT)
    x, reward, *_ = env.step(np.array([ppo.FORWARD, ppo.FORWARD, ppo.LEFT]))
    assert (x[:, :2] == 0).all() and list(reward) == pytest.approx([0, 0, -0.1])
    x, *_ = env.step(np.full(3, ppo.FORWARD))
    assert list(x[:, 3]) == [1, 1, 0]
    actions = np.array([prize[0], ppo.LEFT + ppo.RIGHT - prize[1], ppo.FORWARD])
    x, reward, terminated, truncated, info = env.step(actions)
    assert list(reward) == [1, -1, 0]
    assert list(terminated) == [True, True, False] and list(info["success"]) == [True, False, False]
    assert not truncated.any()
    assert list(x[:, :2].sum(1)) == [1, 1, 0]  # what ended has begun again
    for _ in range(5):
        *_, truncated, _ = env.step(np.full(3, ppo.FORWARD))
    assert list(truncated) == [False, False, True]  # 8 steps are enough


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole_lstm"])
def test_whole_sequences_and_a_loop_have_the_same_losses(ppo, cell):
    """Episodes end inside the pieces, and the second one goes on from the first one's state."""
    torch.manual_seed(0)
    agent = ppo.Agent(cell, 4, 3, 16)
    player = ppo.Player(agent, ppo.TMaze(6, length=3), seed=0)
    player.play(7, 0.99, 0.95)
    piece = player.play(40, 0.99, 0.95)
    assert piece.reset[1:].any() and not piece.reset[0].all()
    assert piece.state is not None
    agent.double()
    state = tuple(s.double() for s in piece.state)
    series = {n: v.double() if v.is_floating_point() else v for n, v in vars(piece).items() if n != "state"}
    piece = ppo.Piece(state, **series)
    found = {}
    for agent.loop in (False, True):
        agent.zero_grad()
        loss = ppo.loss_of(agent, piece, 0.2, 0.01, 0.5)
        loss.backward()
        found[agent.loop] = [loss.detach(), *(p.grad for p in agent.parameters())]
    for whole, loop in zip(*found.values(), strict=True):
        assert_close(whole, loop, 1e-9)


def test_what_was_played_is_what_training_sees(ppo):
    """The stream's values are those of the whole sequence: the first ratio of PPO is 1."""
    agent = ppo.Agent("lstm", 4, 3, 16)
    player = ppo.Player(agent, ppo.TMaze(5, length=3), seed=0)
    for _ in range(2):
        piece = player.play(20, 0.99, 0.95)
        with torch.no_grad():
            logits, values = agent(piece.observations, piece.reset, piece.state)
        assert_close(values, piece.values, 2e-5)
        log_probs = torch.distributions.Categorical(logits=logits).log_prob(piece.actions)
        assert_close(log_probs, piece.log_probs, 2e-5)


def test_advantages(ppo):
    """By hand: one step, an episode's end, and one step before what is yet to come."""
    rewards, values = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0.5], [0.25], [0.125]])
    done = torch.tensor([[False], [True], [False]])
    found = ppo.advantages(rewards, values, torch.tensor([4.0]), done, 0.5, 0.5)
    last, middle = 3 + 0.5 * 4 - 0.125, 2 - 0.25
    assert found.flatten().tolist() == pytest.approx([1 + 0.5 * 0.25 - 0.5 + 0.25 * middle, middle, last])


@pytest.mark.parametrize("way", [[], ["--loop"]])
def test_it_learns_a_short_maze(ppo, capsys, way):
    options = "--length 3 --hidden 16 --piece 16 --envs 32 --goal 0.9 --steps 150000 --threads 1"
    assert ppo.main([*options.split(), *way]) >= 0.9
    said = capsys.readouterr().out
    assert "times as long" in said and "learned: 9" in said
    assert ("step by step\n" in said.split("learned:")[1]) == bool(way)
