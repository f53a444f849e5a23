"""What every network's training shares: who learns from which rows, how long, at what rate, and what is kept.

A network's random numbers are keyed by (seed, member, purpose) and its steps follow from its own draw, so that it
ends with the same numbers alone or among others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from torch import Tensor
from torch.optim.adamw import adamw

from medladder.errors import OptionError, unknown_name
from medladder.rungs.draws import Sample, evenly, may_learn, parts_of

WARM_UP = 0.2
"""Share of the steps in which the learning rate rises; after it, it falls along half a cosine."""

CHECKS = 24
"""How often, at most, the held-out part is looked at in one training."""

CHOOSING_ROWS = 2048
"""Rows held out that are looked at, at most, to choose the best weights."""

START, BATCHES, DROPOUT, MOVES = range(4)
"""What random numbers are for."""


@dataclass(frozen=True)
class Cases:
    """Rows of a draw, by their place in it, with what is to be learned from them."""

    places: Int[np.ndarray, " row"]
    targets: Float32[Tensor, "row output"]
    weights: Float32[Tensor, " row"]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, which: Int[np.ndarray, " some"] | Bool[np.ndarray, " row"] | slice) -> Cases:
        places = self.places[which]
        chosen = which if isinstance(which, slice) else torch.from_numpy(which)
        return Cases(places, self.targets[chosen], self.weights[chosen])


@dataclass(frozen=True)
class Member:
    """One network of one draw's ensemble: what it learns from, and what its best weights are chosen on."""

    seed: int
    number: int
    learn: Cases
    choose: Cases

    def rng(self, purpose: int) -> np.random.Generator:
        """Random numbers for one purpose, the same whatever else is trained."""
        return np.random.default_rng([self.seed, self.number, purpose])

    def order(self, batch: int, steps: int) -> Int[np.ndarray, "step batch"]:
        """Positions in `learn` of each step's rows: one shuffled pass after another, cut into batches."""
        rng, n = self.rng(BATCHES), len(self.learn)
        passes = [rng.permutation(n) for _ in range(math.ceil(batch * steps / n))]
        return np.concatenate(passes)[: batch * steps].reshape(steps, batch)


def find_device(name: str) -> torch.device:
    """The device to train on: "auto" is CUDA where there is any, else the CPU.

    Raises
    ------
    OptionError
        The device is unknown, or not here.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise unknown_name("device", name, ("auto", "cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError(
            found="--device cuda, but PyTorch sees no CUDA device.",
            needed="A GPU, its driver and a PyTorch built for it.",
            do="Use --device auto, or install PyTorch with CUDA.",
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def members_of(sample: Sample, n_members: int, device: torch.device | None = None) -> list[Member]:
    """Give each member its rows: it holds out part `number mod parts` and chooses on it.

    A lone member learns from every row that may be learned from: the tenth to fifth of the rows that it would hold
    out teach it more than they can choose (docs/LOG.md). A thin draw holds rows out but chooses nothing by them.
    """
    draw, n_classes = sample.draw, len(sample.class_weights)
    parts = parts_of(draw.fold)
    outputs = np.array([1]) if n_classes == 2 else np.arange(n_classes)
    cases = Cases(
        np.arange(len(draw.rows)),
        torch.from_numpy((sample.codes[:, None] == outputs).astype(np.float32)).to(device),
        torch.from_numpy(sample.class_weights[sample.codes].astype(np.float32)).to(device),
    )
    members = []
    for number in range(n_members):
        if n_members == 1 or not parts:
            held = ~may_learn(draw.fold)
        else:
            held = draw.fold == number % parts
        choose = evenly(np.flatnonzero(held & (not draw.is_thin)), CHOOSING_ROWS)
        members.append(Member(draw.seed, number, cases[~held], cases[choose]))
    return members


@dataclass(frozen=True)
class Pace:
    """The steps of a training. Draws that differ in it are trained apart."""

    batch: int
    steps_per_epoch: int
    steps: int

    @property
    def check_every(self) -> int:
        """Steps between two looks at the held-out part."""
        return math.ceil(self.steps / CHECKS)


def set_pace(n_rows: int, batch: int, epochs: int | None, *, least_epochs: int, least_steps: int) -> Pace:
    """Cut a training into steps: so many passes over the rows, or the more of two least amounts."""
    steps_per_epoch = math.ceil(n_rows / batch)
    passes = epochs or max(least_epochs, math.ceil(least_steps / steps_per_epoch))
    return Pace(batch, steps_per_epoch, passes * steps_per_epoch)


def one_cycle(share: float) -> float:
    """Learning rate at this share of the steps, as a share of its peak.

    Source
    ------
    Smith & Topin 2018, arXiv 1708.07120; here with a cosine fall, and from and to 0.
    """
    if share < WARM_UP:
        return share / WARM_UP
    return (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2


class Optimiser:
    """AdamW over groups of parameters that each have a weight decay of their own.

    By torch's functional form: its class imports torch's compiler, two seconds a process that nothing here needs.

    Source
    ------
    Loshchilov & Hutter 2019, arXiv 1711.05101.
    """

    def __init__(self, groups: Sequence[tuple[Sequence[Tensor], float]]) -> None:
        self._groups = [
            (
                list(parameters),
                [torch.zeros_like(tensor) for tensor in parameters],
                [torch.zeros_like(tensor) for tensor in parameters],
                [torch.zeros((), device=tensor.device) for tensor in parameters],
                weight_decay,
            )
            for parameters, weight_decay in groups
        ]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Follow the gradients that stand in each tensor's `grad`."""
        for parameters, means, squares, steps, weight_decay in self._groups:
            adamw(
                parameters,
                [tensor.grad for tensor in parameters if tensor.grad is not None],
                means,
                squares,
                [],
                steps,
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=rate,
                weight_decay=weight_decay,
                eps=1e-8,
                maximize=False,
            )


class Kept:
    """The best parameters so far of each network, a row a network; the last where there is nothing to choose on."""

    def __init__(self, parameters: Float32[Tensor, "network parameter"]) -> None:
        self.parameters = parameters.clone()
        self.loss = torch.full((len(parameters),), torch.inf, device=parameters.device)
        self.step = torch.zeros(len(parameters), dtype=torch.long, device=parameters.device)

    def look(
        self,
        parameters: Float32[Tensor, "network parameter"],
        loss: Float32[Tensor, " network"],
        step: int,
        *,
        is_last: bool,
    ) -> None:
        """Take over the networks that do better now; a loss of NaN says that there is nothing to choose on."""
        better = torch.where(loss.isnan(), is_last, loss < self.loss)
        for network in better.nonzero().ravel().tolist():
            self.parameters[network].copy_(parameters[network])
        self.loss = torch.where(better, loss, self.loss)
        self.step = torch.where(better, step, self.step)


def held_out_losses(
    crew: list[Member], log_losses: Callable[[int, Cases], Float32[Tensor, " row"]], rows_at_once: int
) -> Float32[Tensor, " network"]:
    """Mean weighted log loss of each network on the rows it chooses by; NaN where it has none."""
    losses = []
    for network, member in enumerate(crew):
        total = torch.zeros((), device=member.choose.weights.device)
        for start in range(0, len(member.choose), rows_at_once):
            cases = member.choose[start : start + rows_at_once]
            total = total + log_losses(network, cases) @ cases.weights
        losses.append(total / len(member.choose) if len(member.choose) else torch.full_like(total, torch.nan))
    return torch.stack(losses)
