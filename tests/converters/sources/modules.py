"""PyTorch modules to train and to save: a class must be importable where its pickle is opened."""

from __future__ import annotations

from typing import Any

from tests.converters.extras import imported

torch = imported("torch")
nn = torch.nn


class Digits(nn.Module):  # type: ignore[misc, name-defined]
    """8 × 8 pixels → 10 scores."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2))
        self.told = nn.Linear(8 * 16, 10)

    def forward(self, image: Any) -> Any:
        return self.told(self.seen(image).flatten(1))


class Regression(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x: Any) -> Any:
        return self.layers(x)


class TwoHeads(nn.Module):  # type: ignore[misc, name-defined]
    """Two inputs, two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(2, 4)

    def forward(self, left: Any, right: Any) -> Any:
        mixed = self.left(left) * self.right(right)
        return {"mean": mixed.mean(1, keepdim=True), "shares": torch.softmax(mixed, 1)}


class FixedRows(nn.Module):  # type: ignore[misc, name-defined]
    """Insists on its example's number of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.one_for_each = nn.Parameter(torch.ones(3, 3))

    def forward(self, x: Any) -> Any:
        return x * self.one_for_each


class Flattened(nn.Module):  # type: ignore[misc, name-defined]
    """Forgets which row is which."""

    def forward(self, x: Any) -> Any:
        return x.reshape(-1, 1)


class Branching(nn.Module):  # type: ignore[misc, name-defined]
    """Decides by a value: no graph can."""

    def forward(self, x: Any) -> Any:
        return x * 2 if float(x.sum()) > 0 else x


def trained(module: Any, features: Any, truth: Any, loss: Any, steps: int = 60) -> Any:
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(module(features), truth).backward()
        optimiser.step()
    return module
