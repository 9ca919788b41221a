"""Soups and WiSE-FT, in our own words.

Soups: mlfoundations/model-soups, ``main.py``; and Wortsman et al., arXiv 2203.05482, algorithm 1.
WiSE-FT: mlfoundations/wise-ft, ``src/wise_ft.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

Weights = Mapping[str, Tensor]
Validate = Callable[[Weights], float]


def uniform_soup(ingredients: Sequence[Weights]) -> dict[str, Tensor]:
    """Return the mean of weights, summed share by share in their own precision: ``main.py``."""
    share = 1.0 / len(ingredients)
    soup = {name: tensor * share for name, tensor in ingredients[0].items()}
    for each in ingredients[1:]:
        soup = {name: tensor * share + soup[name] for name, tensor in each.items()}
    return soup


def greedy_soup_of_the_code(ingredients: Sequence[Weights], validate: Validate) -> list[int]:
    """Return the ingredients that ``main.py`` keeps, in its order.

    One is kept if the accuracy rises. Of equal ingredients the later is tried first: an ascending
    sort is reversed.
    """
    alone = [validate(each) for each in ingredients]
    order = sorted(range(len(alone)), key=lambda at: alone[at])[::-1]
    return _greedy(ingredients, validate, order, alone, keeps_equal=False)


def greedy_soup_of_algorithm_1(ingredients: Sequence[Weights], validate: Validate) -> list[int]:
    """Return the ingredients that algorithm 1 of the paper keeps (accuracy does not fall: ≥).

    Of equal ingredients the earlier is tried first; the paper defines no order for them.
    """
    alone = [validate(each) for each in ingredients]
    order = sorted(range(len(alone)), key=lambda at: -alone[at])
    return _greedy(ingredients, validate, order, alone, keeps_equal=True)


def _greedy(
    ingredients: Sequence[Weights],
    validate: Validate,
    order: Sequence[int],
    alone: Sequence[float],
    *,
    keeps_equal: bool,
) -> list[int]:
    best, *others = order
    kept, soup, accuracy = [best], dict(ingredients[best]), alone[best]
    for at in others:
        count = len(kept)
        tried = {
            name: tensor * (count / (count + 1.0)) + ingredients[at][name] * (1.0 / (count + 1))
            for name, tensor in soup.items()
        }
        reached = validate(tried)
        if reached > accuracy or (keeps_equal and reached == accuracy):
            kept, soup, accuracy = [*kept, at], tried, reached
    return kept


def wise_ft(zero_shot: Weights, fine_tuned: Weights, alpha: float) -> dict[str, Tensor]:
    """Return the weights between two networks: ``wise_ft.py``, ``_merge``."""
    return {
        name: (1 - alpha) * tensor + alpha * fine_tuned[name] for name, tensor in zero_shot.items()
    }
