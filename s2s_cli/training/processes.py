"""Several processes, on one machine or many, that share every batch.

Started by ``torchrun``, each holds an equal part of a batch. Whatever looks at the whole of it,
which are losses that compare items and norms that average over them, is given the whole of it here,
so that the number of processes changes nothing but the speed. Alone, all of this does nothing.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from s2s_cli.errors import RecipeError


def join(device_type: str) -> None:
    """Meet the other processes that ``torchrun`` started, if there are any."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        return
    try:
        from accelerate import PartialState
    except ImportError as fault:
        raise RecipeError(
            "Training in several processes needs Accelerate: pip install 's2s-cli[train]'."
        ) from fault
    PartialState(cpu=device_type == "cpu")


def count() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which one this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def wait() -> None:
    """Until all have come here."""
    if count() > 1:
        dist.barrier()


def any_of(here: bool, device: torch.device) -> bool:
    """Whether it is so in any process."""
    if count() == 1:
        return here
    told = torch.tensor(float(here), device=device)
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return bool(told)


def gathered(own: Tensor) -> Tensor:
    """The rows of all processes, one after another; gradients find their way back.

    own: (items, ...), of the same shape everywhere.
    """
    if count() == 1:
        return own
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(own.contiguous()))


def averaged(own: Tensor) -> Tensor:
    """The mean over processes of a tensor; gradients find their way back."""
    if count() == 1:
        return own
    from torch.distributed.nn.functional import all_reduce

    total: Tensor = all_reduce(own.contiguous())
    return total / count()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Every gradient becomes its mean over processes, which is that of the whole batch."""
    if count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= count()
    for gradient, mean in zip(
        gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True
    ):
        gradient.copy_(mean.view_as(gradient))


def average_measures(measures: dict[str, float]) -> dict[str, float]:
    """Each measure's mean over processes."""
    if count() == 1:
        return measures
    means = torch.tensor(list(measures.values()), dtype=torch.float64)
    if dist.get_backend() == "nccl":
        means = means.cuda()
    dist.all_reduce(means)
    return dict(zip(measures, (means / count()).tolist(), strict=True))


class WholeBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm by the statistics of all processes' items. torch's own asks for a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (items, channels, ...). Same shape."""
        if not self.training:
            return super().forward(x)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        wide = x.float()
        mean = averaged(wide.mean(dim=axes))
        variance = averaged((wide - mean.view(shape)).square().mean(dim=axes))
        items = count() * x.numel() / x.shape[1]
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * items / (items - 1), self.momentum)
        normal = (wide - mean.view(shape)) * (variance.view(shape) + self.eps).rsqrt()
        normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(x.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of axes."""


def share_norms(network: nn.Module) -> None:
    """Let a network's batch norms see the whole batch, in place, so that all who hold them do."""
    if count() == 1:
        return
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.__class__ = WholeBatchNorm  # type: ignore[assignment]
