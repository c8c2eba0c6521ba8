"""General optimisers on a task: random search, Optuna's TPE and GPSampler, BoTorch, SMAC3.

Each measures the default first and then has its own few initial settings, as a user of the library would start it. They
are told the exact medians. Optuna and SMAC3 search the grid of the table's levels; a point of it that was never
measured is taken to the nearest row, and a row that is asked for twice is measured twice. The libraries are imported
when they are needed, so that each can be missing.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from peers.tasks import Array, Task, Trace, keeping_the_best

_STARTS = 4  # settings before the first model, the default among them
_CHUNK = 256  # rows whose acquisition is computed at once
_PENALTY = 2.0  # log cost for each unit of log time above the bound, for the one that knows no constraint
_STEP = 0.5  # and for breaking it at all


def random_search(task: Task, budget: int, seed: int) -> Trace:
    """Rows in random order."""
    return keeping_the_best(task, _shuffled(task, seed)[:budget])


def tpe(task: Task, budget: int, seed: int) -> Trace:
    """Optuna's tree-structured Parzen estimator, multivariate, with the bound as a constraint."""
    import optuna  # noqa: PLC0415

    return _with_optuna(
        task, budget, optuna.samplers.TPESampler, seed=seed, multivariate=True, n_startup_trials=_STARTS
    )


def optuna_gp(task: Task, budget: int, seed: int) -> Trace:
    """Optuna's Gaussian process sampler, with the bound as a constraint."""
    import optuna  # noqa: PLC0415

    return _with_optuna(task, budget, optuna.samplers.GPSampler, seed=seed, n_startup_trials=_STARTS)


def botorch(task: Task, budget: int, seed: int) -> Trace:
    """BoTorch's defaults: SingleTaskGP and qLogNoisyExpectedImprovement over the rows not measured yet."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rows = _shuffled(task, seed)[: min(_STARTS, budget)]
    points = unit_cube(task.points)
    while len(rows) < min(budget, len(points)):
        excess = None if task.excess is None else task.excess[rows]
        rows.append(botorch_step(points, rows, task.cost[rows], excess))
    return keeping_the_best(task, rows)


def botorch_step(points: Array, rows: list[int], cost: Array, excess: Array | None) -> int:
    """The row that BoTorch measures next.

    Args:
        points: all rows in the unit cube, `n x d`.
        rows: the `m` that are measured.
        cost: what to minimise, of each of those.
        excess: what must not be above 0, of each of those; None without a bound.
    """
    import torch  # noqa: PLC0415
    from botorch.acquisition.logei import qLogNoisyExpectedImprovement  # noqa: PLC0415
    from botorch.acquisition.objective import GenericMCObjective  # noqa: PLC0415
    from botorch.exceptions import ModelFittingError  # noqa: PLC0415
    from botorch.fit import fit_gpytorch_mll  # noqa: PLC0415
    from botorch.models import ModelListGP, SingleTaskGP  # noqa: PLC0415
    from gpytorch.mlls import ExactMarginalLogLikelihood, SumMarginalLogLikelihood  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = torch.as_tensor(points[rows], dtype=torch.double)
        outputs = [cost] if excess is None else [cost, excess]
        models = [SingleTaskGP(x, torch.as_tensor(y, dtype=torch.double)[:, None]) for y in outputs]
        model: Any = models[0] if excess is None else ModelListGP(*models)
        sums = ExactMarginalLogLikelihood if excess is None else SumMarginalLogLikelihood
        with suppress(ModelFittingError):  # it goes on with the hyperparameters it has
            fit_gpytorch_mll(sums(model.likelihood, model))
        acquisition = qLogNoisyExpectedImprovement(
            model,
            X_baseline=x,
            objective=GenericMCObjective(lambda samples, X=None: -samples[..., 0]),  # noqa: N803
            constraints=None if excess is None else [lambda samples: samples[..., 1]],
            prune_baseline=True,
        )
        left = np.setdiff1d(np.arange(len(points)), rows)
        offered = torch.as_tensor(points[left], dtype=torch.double)[:, None]
        with torch.no_grad():
            worth = torch.cat([acquisition(chunk) for chunk in offered.split(_CHUNK)])
    return int(left[int(worth.argmax())])


def smac(task: Task, budget: int, seed: int) -> Trace:
    """SMAC3's facade for hyperparameters, asked and told; the bound is a penalty, since it knows no constraint."""
    from ConfigSpace import ConfigurationSpace, OrdinalHyperparameter  # noqa: PLC0415
    from smac import HyperparameterOptimizationFacade, Scenario  # noqa: PLC0415
    from smac.main.exceptions import ConfigurationSpaceExhaustedException  # noqa: PLC0415
    from smac.runhistory.dataclasses import TrialInfo, TrialValue  # noqa: PLC0415

    logging.disable(logging.WARNING)
    levels, default = _levels(task), task.points[task.default].tolist()
    space = ConfigurationSpace(seed=seed)
    space.add(OrdinalHyperparameter(str(at), each, default_value=default[at]) for at, each in enumerate(levels))
    cost = task.cost
    if task.excess is not None:
        cost = cost + np.where(task.feasible, 0.0, _STEP + _PENALTY * task.excess)
    rows: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(space, n_trials=budget, deterministic=True, seed=seed, output_directory=Path(folder))
        start = HyperparameterOptimizationFacade.get_initial_design(scenario, n_configs=_STARTS - 1, max_ratio=1.0)
        search = HyperparameterOptimizationFacade(
            scenario, _never, initial_design=start, overwrite=True, logging_level=False
        )
        info = TrialInfo(config=space.get_default_configuration(), seed=0)
        while True:
            rows.append(_row(task, [info.config[str(at)] for at in range(len(levels))]))
            search.tell(info, TrialValue(cost=float(cost[rows[-1]])))
            if len(rows) == budget:
                break
            try:
                info = search.ask()
            except (StopIteration, ConfigurationSpaceExhaustedException):
                break  # every setting is measured
    return keeping_the_best(task, rows)


def unit_cube(points: Array) -> Array:
    """Every knob from 0 to 1."""
    span = np.ptp(points, axis=0)
    span[span == 0.0] = 1.0
    scaled: Array = (points - points.min(axis=0)) / span
    return scaled


def _never(config: object, seed: int = 0) -> float:
    raise AssertionError("the search is asked and told")


def _shuffled(task: Task, seed: int) -> list[int]:
    rows = np.random.default_rng(seed).permutation(len(task.settings)).tolist()
    rows.remove(task.default)
    return [task.default, *rows]


def _with_optuna(task: Task, budget: int, sampler: Any, **options: Any) -> Trace:
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    levels, rows = _levels(task), list[int]()
    excess = task.excess
    if excess is not None:
        options["constraints_func"] = lambda trial: (trial.user_attrs["excess"],)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=sampler(**options))
        at_default = [each.index(value) for each, value in zip(levels, task.points[task.default].tolist(), strict=True)]
        study.enqueue_trial({str(at): index for at, index in enumerate(at_default)})

        def measure(trial: Any) -> float:
            indices = [trial.suggest_int(str(at), 0, len(each) - 1) for at, each in enumerate(levels)]
            rows.append(_row(task, [each[index] for each, index in zip(levels, indices, strict=True)]))
            if excess is not None:
                trial.set_user_attr("excess", float(excess[rows[-1]]))
            return float(task.cost[rows[-1]])

        study.optimize(measure, n_trials=budget)
    return keeping_the_best(task, rows)


def _levels(task: Task) -> list[list[float]]:
    return [sorted(set(column)) for column in task.points.T.tolist()]


def _row(task: Task, numbers: list[float]) -> int:
    """The row with these numbers, or the nearest one, every knob's range being one."""
    exact = task.row_at.get(tuple(numbers))
    if exact is not None:
        return exact
    everything = unit_cube(np.vstack([task.points, numbers]))
    return int(((everything[:-1] - everything[-1]) ** 2).sum(axis=1).argmin())
