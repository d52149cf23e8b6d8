"""Recurrent PPO on a T-maze: remember what was shown at the start, turn the right way at the end.

    python examples/ppo.py [--length 50] [--cell lstm] [--loop] [--seed 1]

The agent walks down a corridor. Its first observation says whether the prize is on the left or on the right; the
corridor looks the same everywhere; at its end the agent has to choose (B. Bakker, Reinforcement learning with long
short-term memory, 2001). Without a memory half of the choices are wrong.

PPO (J. Schulman et al., Proximal policy optimization algorithms, 2017) learns from pieces of experience in which
episodes end and begin. A layer with `reset=` runs over a whole piece at once. `--loop` takes the usual way: step by
step, the state multiplied by 0 where an episode has begun. Both give the same losses; how much faster the first one is
is measured before training and printed. Needs gymnasium (`pip install 'gatewright[rl]'`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import deque
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn.functional import smooth_l1_loss

import gatewright as gw

# -- the task --------------------------------------------------------------------------------------

FORWARD, LEFT, RIGHT = range(3)


class TMaze(gym.vector.VectorEnv):
    """Many T-mazes side by side: a corridor of `length` steps, and a choice at its end.

    Observations: the prize is on the left; on the right (both are 0 but at the start); the corridor goes on; it ends.
    Actions: forward, left, right. A turn in the corridor, or a step into the end's wall, costs 0.1 and leaves the agent
    where it is; the choice at the end brings 1 or −1 and ends the episode. After 4 · length steps it is cut off.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 gymnasium's own form

    def __init__(self, num_envs: int, length: int = 50):
        self.num_envs, self.length = num_envs, length
        self.single_observation_space = gym.spaces.Box(0, 1, (4,), np.float32)
        self.single_action_space = gym.spaces.Discrete(3)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self._place, self._steps, self._prize = (np.zeros(num_envs, dtype=np.int64) for _ in range(3))

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:  # noqa: ARG002
        super().reset(seed=seed)
        self._begin(np.ones(self.num_envs, dtype=bool))
        return self._observation(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        """(observations, rewards, terminated, truncated, info); `info["success"]` is for what has terminated."""
        ahead, at_end = actions == FORWARD, self._place == self.length
        terminated = at_end & ~ahead
        success = terminated & (actions == self._prize)
        reward = np.where(terminated, np.where(success, 1.0, -1.0), np.where(at_end | ~ahead, -0.1, 0.0))
        self._place += ahead & ~at_end
        self._steps += 1
        truncated = ~terminated & (self._steps >= 4 * self.length)
        self._begin(terminated | truncated)
        return self._observation(), reward.astype(np.float32), terminated, truncated, {"success": success}

    def _begin(self, which: np.ndarray) -> None:
        self._place[which] = self._steps[which] = 0
        self._prize[which] = self.np_random.integers(LEFT, RIGHT + 1, which.sum())

    def _observation(self) -> np.ndarray:
        start, end = self._steps == 0, self._place == self.length
        told = [start & (self._prize == LEFT), start & (self._prize == RIGHT), ~end, end]
        return np.stack(told, axis=1).astype(np.float32)


# -- the agent -------------------------------------------------------------------------------------


class Agent(nn.Module):
    """A recurrent layer, and behind it what to do (logits) and how good things are (value)."""

    def __init__(self, cell: str, observations: int, actions: int, hidden_size: int, *, loop: bool = False):
        super().__init__()
        self.loop = loop
        self.memory = gw.Recurrent(cell, observations, hidden_size)
        self.policy, self.value = nn.Linear(hidden_size, actions), nn.Linear(hidden_size, 1)
        nn.init.normal_(self.policy.weight, std=0.01)
        nn.init.zeros_(self.policy.bias)

    def forward(self, x: Tensor, reset: Tensor | None = None, state: tuple[Tensor, ...] | None = None):
        """(logits (T, B, actions), values (T, B)) of observations (T, B, features), all of them in one call."""
        run = self._step_by_step if self.loop and reset is not None else self._whole
        y = run(x, reset, state)
        return self.policy(y), self.value(y).squeeze(-1)

    def _whole(self, x: Tensor, reset: Tensor | None, state: tuple[Tensor, ...] | None) -> Tensor:
        return self.memory(x, state, reset=reset)[0]

    def _step_by_step(self, x: Tensor, reset: Tensor, state: tuple[Tensor, ...] | None) -> Tensor:
        """As it is done where a layer knows no resets."""
        outputs = []
        for x_t, new in zip(x, reset, strict=True):
            if state is not None:
                state = tuple(s * (~new)[None, :, None] for s in state)
            y, state = self.memory(x_t[None], state)
            state = state if isinstance(state, tuple) else (state,)
            outputs.append(y)
        return torch.cat(outputs)


# -- experience ------------------------------------------------------------------------------------


@dataclass
class Piece:
    """What `B` environments lived through in `T` steps: (T, B) each, and the memory's state before the first."""

    state: tuple[Tensor, ...] | None
    observations: Tensor
    reset: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    rewards: Tensor
    done: Tensor
    advantages: Tensor

    def of(self, which: Tensor) -> Piece:
        """The part of some environments: whole sequences, so that the memory can be trained on them."""
        state = None if self.state is None else tuple(s[:, which] for s in self.state)
        series = [v[:, which] for name, v in vars(self).items() if name != "state"]
        return Piece(state, *series)


class Player:
    """Goes on playing: the environments and the agent's memory are where the last piece left them."""

    def __init__(self, agent: Agent, env: TMaze, seed: int):
        self.agent, self.env = agent, env
        self.stream = gw.Stream(agent)
        self.x = torch.from_numpy(env.reset(seed=seed)[0])
        self.new = torch.ones(env.num_envs, dtype=torch.bool)
        self.successes: deque[bool] = deque(maxlen=500)

    def play(self, steps: int, gamma: float, lam: float) -> Piece:
        """Live through so many steps."""
        state = (self.stream.state or {}).get("memory")
        lived = []
        for _ in range(steps):
            self.stream.reset(self.new)
            logits, values = self.stream(self.x)
            choice = Categorical(logits=logits)
            actions = choice.sample()
            x, rewards, terminated, truncated, info = self.env.step(actions.numpy())
            done = terminated | truncated
            self.successes.extend(info["success"][done])
            done, rewards = torch.from_numpy(done), torch.from_numpy(rewards)
            lived.append((self.x, self.new, actions, choice.log_prob(actions), values, rewards, done))
            self.x, self.new = torch.from_numpy(x), done
        series = [torch.stack(s) for s in zip(*lived, strict=True)]
        *_, values, rewards, done = series
        return Piece(state, *series, advantages(rewards, values, self._value_now(), done, gamma, lam))

    def _value_now(self) -> Tensor:
        """What is expected of the next step, which the next piece will take."""
        kept = self.stream.state
        value = self.stream(self.x)[1]
        self.stream.state = kept
        return value

    @property
    def success(self) -> float:
        """The rate of the last 500 episodes."""
        return statistics.fmean(self.successes) if self.successes else 0.0


def advantages(rewards: Tensor, values: Tensor, after: Tensor, done: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalised advantages (Schulman et al. 2016): (T, B)."""
    found, following, running = torch.zeros_like(rewards), after, torch.zeros_like(after)
    for t in range(len(rewards) - 1, -1, -1):
        goes_on = (~done[t]).to(values.dtype)
        delta = rewards[t] + gamma * following * goes_on - values[t]
        found[t] = running = delta + gamma * lam * goes_on * running
        following = values[t]
    return found


# -- learning --------------------------------------------------------------------------------------


def loss_of(agent: Agent, piece: Piece, clip: float, entropy_weight: float, value_weight: float) -> Tensor:
    """PPO's loss on whole sequences."""
    logits, values = agent(piece.observations, piece.reset, piece.state)
    choice = Categorical(logits=logits)
    ratio = (choice.log_prob(piece.actions) - piece.log_probs).exp()
    gain = (piece.advantages - piece.advantages.mean()) / (piece.advantages.std() + 1e-8)
    policy = -torch.minimum(gain * ratio, gain * ratio.clamp(1 - clip, 1 + clip)).mean()
    value = smooth_l1_loss(values, piece.advantages + piece.values)
    return policy + value_weight * value - entropy_weight * choice.entropy().mean()


def learn(agent: Agent, optimizer: torch.optim.Optimizer, piece: Piece, options: argparse.Namespace) -> float:
    """Several passes over a piece, in parts of some environments each; gives the last loss."""
    loss = torch.zeros(())
    for _ in range(options.epochs):
        for which in torch.randperm(options.envs).chunk(options.parts):
            loss = loss_of(agent, piece.of(which), options.clip, options.entropy, options.value)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()
    return loss.item()


def factor(agent: Agent, piece: Piece, options: argparse.Namespace, rounds: int = 5) -> tuple[float, float]:
    """(seconds that forward and backward take over whole sequences; how much longer they take step by step)."""
    chosen, times = agent.loop, {False: [], True: []}
    for _ in range(rounds + 1):
        for agent.loop in times:
            began = time.perf_counter()
            loss_of(agent, piece, options.clip, options.entropy, options.value).backward()
            times[agent.loop].append(time.perf_counter() - began)
    agent.loop = chosen
    agent.zero_grad()
    whole, loop = (times[way][1:] for way in (False, True))  # the first round compiles
    return statistics.median(whole), statistics.median(b / a for a, b in zip(whole, loop, strict=True))


def main(arguments: list[str] | None = None) -> float:
    """Train until the agent turns the right way; gives the rate of success in the end."""
    options = parsed(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    env = TMaze(options.envs, options.length)
    agent = Agent(options.cell, 4, 3, options.hidden, loop=options.loop)
    optimizer = torch.optim.Adam(agent.parameters(), lr=options.lr, eps=1e-5)
    player = Player(agent, env, options.seed)
    print(f"T-maze of length {options.length}, {options.envs} at once; {agent.memory}", flush=True)
    began, steps, measured = time.perf_counter(), 0, None
    while steps < options.steps and player.success < options.goal:
        piece = player.play(options.piece, options.gamma, options.lam)
        if measured is None:
            measured = factor(agent, piece, options)
            report_factor(*measured, options)
            began = time.perf_counter()
        loss = learn(agent, optimizer, piece, options)
        steps += options.piece * options.envs
        report(steps, player.success, loss, time.perf_counter() - began)
    print()
    seconds, rate = time.perf_counter() - began, player.success
    print(f"{'learned' if rate >= options.goal else 'not learned'}: {rate:.1%} of the last 500 choices are right")
    print(f"after {steps:,} steps in {seconds:.0f} s, {'step by step' if options.loop else 'over whole sequences'}")
    return rate


def report_factor(seconds: float, times: float, options: argparse.Namespace) -> None:
    print(
        f"forward + backward of {options.piece} steps x {options.envs} environments: {seconds * 1e3:.1f} ms over whole "
        f"sequences; step by step {times:.1f} times as long",
        flush=True,
    )


def report(steps: int, success: float, loss: float, seconds: float) -> None:
    """A line that is written again and again on a terminal, and line by line elsewhere."""
    end = "\r" if sys.stdout.isatty() else "\n"
    print(
        f"{steps:>9,} steps  success {success:6.1%}  loss {loss:7.3f}  {steps / seconds:7,.0f} steps/s",
        end=end,
        flush=True,
    )


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    about = __doc__ or ""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--length", type=int, default=50, help="of the corridor (default 50)")
    add("--cell", default="lstm", help=f"the memory's cell: {', '.join(gw.cells)} (default lstm)")
    add("--hidden", type=int, default=64, help="units of the memory (default 64)")
    add("--loop", action="store_true", help="train step by step, as without resets")
    add("--seed", type=int, default=1, help="of everything random (default 1)")
    add("--threads", type=int, default=2, help="of torch and of our kernels (default 2)")
    add("--goal", type=float, default=0.95, help="stop at this rate of right choices (default 0.95)")
    add("--steps", type=int, default=4_000_000, help="stop after so many steps at last (default 4,000,000)")
    add("--envs", type=int, default=64, help="mazes side by side, B (default 64)")
    add("--piece", type=int, default=128, help="steps between two updates, T (default 128)")
    add("--epochs", type=int, default=4, help="passes over a piece (default 4)")
    add("--parts", type=int, default=4, help="parts of a pass (default 4)")
    add("--lr", type=float, default=1e-3, help="Adam's step (default 0.001)")
    add("--gamma", type=float, default=0.99, help="worth of a reward one step later (default 0.99)")
    add("--lam", type=float, default=0.95, help="of generalised advantages (default 0.95)")
    add("--clip", type=float, default=0.2, help="of PPO's ratio (default 0.2)")
    add("--entropy", type=float, default=0.01, help="weight of the entropy (default 0.01)")
    add("--value", type=float, default=0.5, help="weight of the value's loss (default 0.5)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
