"""MTKDHook: the one entry in a config, and what happens at which of the Runner's stages."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_gather_object, broadcast_object_list, get_world_size
from mmengine.hooks import Hook, LoggerHook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.utils import apply_to
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.utils.data import DataLoader

from mtkd_rl.adapter_optimizer import AdapterOptimizer, gradients_of, set_gradients
from mtkd_rl.cache import build_cache, install, take_views
from mtkd_rl.distiller import Distiller, Lesson
from mtkd_rl.errors import MTKDError, candidates, check_number
from mtkd_rl.guard import Findings, build_guard, news
from mtkd_rl.losses import LogitLoss, build_loss
from mtkd_rl.monitor import Monitor
from mtkd_rl.registry import HOOKS
from mtkd_rl.resume import KEY, ResumeHook
from mtkd_rl.self_learning.learner import build_self_learner
from mtkd_rl.self_learning.set_aside import set_aside
from mtkd_rl.summary import write_summary
from mtkd_rl.tasks import Task, find_task
from mtkd_rl.teachers import build_pool, compare_manifests, contract_of, loaded_order, manifest
from mtkd_rl.teachers.live import build_live
from mtkd_rl.trust import check_before_loading
from mtkd_rl.weighting.base import build_strategy

OF = {'classes': 'scores of classes', 'maps': 'maps of class scores', 'pictures': 'fused pictures'}


@HOOKS.register_module()
class MTKDHook(Hook):
    """Makes the student of a config learn from a pool of teachers.

    What happens, and where::

        before_train        build the pool and the distiller; taps and one forward hook on the student
        each iteration
          student.forward(mode='loss')           the student's own losses, unchanged; taps record
            forward hook -> Distiller.lesson      teachers, state, strategy.decide, weighted losses into the same dict
          backward, optimizer step               the Runner's, not ours
          after_train_iter                        adapters' step; strategy.learn; statistics
        before_save_checkpoint                    all that learns, under one key (``ResumeHook``: random states)
        after_train         take everything off the student again

    Building waits for ``before_train`` because it is the first stage that testing does not pass, and because whatever
    copies the student before training (``EMAHook``) then copies it without our hooks.

    Args:
        teachers: Name to entry; see ``mtkd_rl.teachers.build_pool``.
        logit_loss: Config of a logit loss; ``'default'`` for the task's, ``None`` to leave logits alone. In fusion the
            fused pictures take their place.
        logit_weight: Factor of the logit losses; ``None`` for one that balances them with the task's loss, which the
            guard finds (1 without a guard).
        temperature: Of the logit losses, ``None`` for the task's; a teacher's entry may have its own.
        feature_loss: Config of a feature loss, or ``None``.
        feature_weight: Factor of the feature losses; ``None`` likewise.
        student_layer: Name of the student's layer whose output is the feature; found when not given.
        strategy: Config of a weighting strategy.
        adapter_lr: Learning rate of the adapters' Adam; follows the student's schedule in proportion.
        begin: First epoch (or iteration) of distillation.
        end: Epoch (or iteration) at which it stops; ``None`` for never.
        warmup: Epochs (or iterations) after ``begin`` over which it grows linearly from 0.
        by_epoch: Whether the three above count epochs.
        guard: Options of ``mtkd_rl.guard.Guard``, which leaves out teachers that break and turns down those that pull
            the wrong way; ``None`` for no guard.
        self_learning: Options of ``mtkd_rl.self_learning.learner.SelfLearner``, with which the student also teaches
            itself on challenging versions of its samples; ``None`` if it does not.
        cache: Options of ``mtkd_rl.cache.TeacherCache``, with which teachers are asked once about each of several
            augmented views of a sample; ``None`` asks them in every iteration.
        live: Options of ``mtkd_rl.teachers.live.Live``, how teachers run where they do.
        allow_other_teachers: Resume although the teachers are not those of the checkpoint. Where their names differ,
            only the student goes on; adapters and agent start anew.
        trust: Let mmengine unpickle whatever the config's other checkpoints hold (``load_from``, resumption, initial
            weights). Such a file can run any code; see ``mtkd_rl.trust``.
        **unknown: There are no other options; each is an error.

    Raises:
        MTKDError: Whatever of this is wrong, in one line, before the first iteration where it can be known.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        teachers: dict[str, Any] | Sequence[dict[str, Any]] = (),
        logit_loss: dict[str, Any] | str | None = 'default',
        logit_weight: float | None = None,
        temperature: float | None = None,
        feature_loss: dict[str, Any] | None = {'type': 'MSE'},  # noqa: B006  # never changed
        feature_weight: float | None = None,
        student_layer: str | None = None,
        strategy: dict[str, Any] = {'type': 'PPOWeighting'},  # noqa: B006
        adapter_lr: float = 1e-3,
        begin: float = 0,
        end: float | None = None,
        warmup: float = 0,
        by_epoch: bool = True,
        guard: dict[str, Any] | None = {},  # noqa: B006
        self_learning: dict[str, Any] | None = None,
        cache: dict[str, Any] | None = None,
        live: dict[str, Any] = {},  # noqa: B006
        allow_other_teachers: bool = False,
        trust: bool = False,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            options = [option for option in inspect.signature(MTKDHook).parameters if option != 'unknown']
            raise MTKDError(f'MTKDHook: there is no option {name!r}; did you mean: {candidates(name, options)}')
        numbers = dict(logit_weight=logit_weight, feature_weight=feature_weight, adapter_lr=adapter_lr)
        for name, value in {**numbers, 'begin': begin, 'warmup': warmup}.items():
            if value is not None or not name.endswith('_weight'):
                check_number('MTKDHook', name, value)
        if end is not None and not (isinstance(end, int | float) and end > begin):
            raise MTKDError(f'MTKDHook: end is {end!r} and begin {begin!r}; give a number after begin, or None')
        if temperature is not None and not (isinstance(temperature, int | float) and temperature > 0):
            raise MTKDError(f'MTKDHook: temperature is {temperature!r}; give a number above 0')
        self.teachers = teachers
        self.temperature = temperature
        self.default_logit_loss = logit_loss == 'default'  # which one that is is known when the student is
        own = None if self.default_logit_loss or logit_loss is None else build_loss(cast(Any, logit_loss), 'logit')
        self.logit_loss: LogitLoss | None = own
        self.logit_weight = logit_weight
        self.feature_loss = None if feature_loss is None else build_loss(feature_loss, 'feature')
        self.feature_weight = feature_weight
        self.student_layer = student_layer
        self.strategy = build_strategy(strategy)
        self.adapter_lr = adapter_lr
        self.begin, self.end, self.warmup, self.by_epoch = begin, end, warmup, by_epoch
        self.guard = None if guard is None else build_guard(guard)
        self.self_learner = None if self_learning is None else build_self_learner(self_learning)
        self.cache = None if cache is None else build_cache(cache)
        self.live = build_live(live)
        self.allow_other_teachers = allow_other_teachers
        self.trust = trust
        if logit_loss is None and self.feature_loss is None:
            raise MTKDError(
                'MTKDHook: logit_loss and feature_loss are both None, so there is nothing to teach; set one'
            )
        self._resumed: dict[str, Any] | None = None
        self._resume = ResumeHook(self._own)

    def before_run(self, runner: Runner) -> None:
        """Sees to what is loaded and resumed from; testing passes here too."""
        if not isinstance(runner, Runner):
            raise MTKDError(
                f'{type(runner).__name__}: sharded training (FSDP, DeepSpeed) is not supported, since no process has '
                "the whole student; train with mmengine's Runner, on several GPUs with --launcher pytorch"
            )
        if self._resume not in runner.hooks:
            runner.register_hook(self._resume)
        check_before_loading(runner, self.trust)

    def before_train(self, runner: Runner) -> None:
        """Builds the pool and the distiller, and installs the forward hook on the student."""
        others = [hook for hook in runner.hooks if isinstance(hook, MTKDHook) and hook is not self]
        if others:
            raise MTKDError(
                'custom_hooks has more than one MTKDHook; put all teachers into one, each with its own name'
            )
        check_runner(runner)
        student = runner.model.module if is_model_wrapper(runner.model) else runner.model
        classes = getattr(runner.train_dataloader.dataset, 'metainfo', {}).get('classes')
        self.distiller = self.assemble(student, runner.cfg, _common_seed(runner), classes)
        if self.self_learner is not None:
            self.self_learner.take(set_aside(runner, student, self.self_learner.held_out, self.distiller.seed))
        self._views = None
        if self.cache is not None:
            names = [teacher.name for teacher in self.distiller.teachers]
            loss = self.distiller.feature_loss
            comparing = loss is not None and loss.on == 'feature'
            self._views = install(runner, student, self.cache, names, comparing, self.live.precision)
        self.distiller.cache = self.cache
        self.pool = pool = self.distiller.teachers
        self.adapter_optimizer = AdapterOptimizer(self.adapter_lr)
        self.monitor = Monitor([teacher.name for teacher in pool], self.distiller.kinds)
        self.interval = next((hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)), 10)
        self._factor = 0.0
        self._told: Findings | None = None
        self._lesson: Lesson | None = None
        self._samples: Sequence[Any] = ()
        if self._resumed is not None:
            self._go_on(runner, self._resumed)
            self._resumed = None
        self._choose_views(runner)
        teach: Callable[..., dict[str, Tensor]] = self._teach
        if runner.cfg.get('compile'):
            # what is recorded, decided and drawn is no part of a compiled step, nor of one compiled without our hooks
            torch._dynamo.reset()
            teach = torch.compiler.disable(self._teach)
        self._handles = [
            student.register_forward_pre_hook(_before_forward(self, student), with_kwargs=True),
            student.register_forward_hook(_after_forward(self, student, teach), with_kwargs=True),
        ]
        for teacher in pool:
            runner.logger.info(f'mtkd_rl: teacher {teacher.name}: {teacher.description}, {teacher.contract}')

    def assemble(self, student: nn.Module, cfg: Config, seed: int, classes: Sequence[str] | None = None) -> Distiller:
        """Builds the pool and the distiller, which listens to the student from here on.

        Args:
            student: The bare student, not its wrapper, on the device where it trains.
            cfg: The config that it trains by, for how its pictures are loaded.
            seed: Of adapters and agent.
            classes: Names of the student's classes, in the order of its logits; ``None`` where they are not known.

        Raises:
            MTKDError: Whatever the hook's options name is not there or does not fit the student.
        """
        task = find_task(student)
        logit_loss = build_loss(task.logit_loss, 'logit') if self.default_logit_loss else self.logit_loss
        check_says(task, logit_loss)
        loaded = loaded_order(cfg)
        source = contract_of(cast(nn.Module, student.data_preprocessor), loaded)
        temperature = task.temperature if self.temperature is None else self.temperature
        pool = build_pool(self.teachers, temperature=temperature, source=source, loaded=loaded)
        device = next(student.parameters()).device
        for teacher in pool:
            teacher.to('cpu' if self.live.offload else device)
        return Distiller(
            student,
            pool,
            task,
            source,
            self.strategy,
            logit_loss=logit_loss,
            feature_loss=self.feature_loss,
            logit_weight=self.logit_weight,
            feature_weight=self.feature_weight,
            student_layer=self.student_layer,
            guard=self.guard,
            self_learner=self.self_learner,
            live=self.live,
            seed=seed,
            classes=classes,
        )

    def before_train_epoch(self, runner: Runner) -> None:
        """Says which views come next."""
        if self._views is not None and isinstance(runner.train_loop, EpochBasedTrainLoop):
            self._views.epoch = runner.epoch
        self._choose_views(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Sets how strong the distillation is in this iteration; at 0 no teacher runs."""
        now = runner.iter / epoch_length(runner.train_dataloader) if self.by_epoch else runner.iter
        self._factor = schedule(now, self.begin, self.end, self.warmup)
        self.adapter_optimizer.before_step(runner.optim_wrapper)
        self._choose_views(runner)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """After the student's step: the adapters' step, the strategy's learning, the statistics."""
        lesson, self._lesson = self._lesson, None
        if lesson is not None:
            self.adapter_optimizer.step(runner.optim_wrapper)
            told = self.strategy.learn(lesson.feedback)
            if self.self_learner is not None:
                self.self_learner.after_step()
                told = {**told, **self.self_learner.scalars()}
            self.monitor.watch(lesson.feedback, told, self.distiller.task.groups)
        # when LoggerHook logs, so that a row has its own weights
        if self.every_n_inner_iters(batch_idx, self.interval) or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._show(runner, runner.iter + 1)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Saves all that learns and who the teachers were, no teacher's weights; ``ResumeHook`` adds the rest."""
        if hasattr(self, 'distiller'):
            checkpoint[KEY] = {
                'distiller': self.distiller.state_dict(),
                'adapter_optimizer': self.adapter_optimizer.state_dict(),
                'monitor': self.monitor.state_dict(),
                'teachers': manifest(self.pool),
            }

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keeps what is ours of a checkpoint that is resumed; ``load_from`` starts anew."""
        if runner._resume:
            # mmengine loads to the student's device, where generators and counters of steps do not belong
            self._resumed = apply_to(checkpoint.get(KEY), torch.is_tensor, lambda x: x.cpu())
            if self._resumed is None:
                runner.logger.warning(
                    'mtkd_rl: the checkpoint is of a run without MTKDHook: adapters and agent start anew'
                )

    def after_train(self, runner: Runner) -> None:
        """Takes everything off the student, and writes the summary and, where there is one, the agent."""
        self._show(runner, runner.iter)  # what came after the last interval
        for handle in self._handles:
            handle.remove()
        self.distiller.close()
        if self.cache is not None:
            self.cache.close()
            take_views(runner.train_dataloader)
        if runner.rank == 0:
            for line in [] if self.cache is None else self.cache.lines():
                runner.logger.info(f'mtkd_rl: {line}')
            lines = write_summary(Path(runner.work_dir), self.monitor, self.distiller.guard, self.strategy)
            for line in lines:
                runner.logger.info(f'mtkd_rl: {line}')
            if not lines:
                runner.logger.warning(
                    'mtkd_rl: no iteration was distilled; look at begin, end and by_epoch of MTKDHook'
                )

    def _choose_views(self, runner: Runner) -> None:
        """As many as the cache keeps; none of pictures that the preprocessor mixes, which hooks may switch."""
        if self._views is None or self.cache is None:
            return
        mixes = bool(getattr(self.distiller.student.data_preprocessor, 'batch_augments', None))
        if mixes and not self.cache.paused:
            runner.logger.warning(
                'mtkd_rl: cache: batch_augments of the data preprocessor change pictures anew each time; teachers run '
                'live while they do'
            )
        self.cache.paused = mixes
        self._views.views = self.cache.showing()

    def _go_on(self, runner: Runner, saved: dict[str, Any]) -> None:
        mine = self._resume.load_state_dict(saved['processes'])
        if mine is not None:
            set_gradients(self.distiller.student, mine['student'])
            for buffer, saved_buffer in zip(self.distiller.student.buffers(), mine['buffers']):
                buffer.copy_(saved_buffer)
        now = manifest(self.pool)
        difference = compare_manifests(saved['teachers'], now)
        if difference is not None and not self.allow_other_teachers:
            raise MTKDError(
                f'the checkpoint was trained with other teachers: {difference}; give the same ones, or set '
                'allow_other_teachers=True in MTKDHook'
            )
        if [each['name'] for each in saved['teachers']] == [each['name'] for each in now]:
            self.distiller.load_state_dict(saved['distiller'], same_teachers=difference is None)
            if self.distiller.guard is not None:
                if difference is not None:
                    self.distiller.guard.forgive()
                self._told = self.distiller.guard.read()
            self.adapter_optimizer.load_state_dict(saved['adapter_optimizer'], mine['adapters'] if mine else [])
            self.monitor.load_state_dict(saved['monitor'], self.distiller.device)
        else:
            runner.logger.warning(f'mtkd_rl: other teachers ({difference}): adapters and agent start anew')

    def _own(self, runner: Runner) -> dict[str, Any]:
        """What this process has for itself: BatchNorm's statistics, and gradients of an accumulation not at its end."""
        student, adapters = self.distiller.student, self.distiller.adapters
        # DDP leaves each process its own buffers, and a checkpoint has the first one's
        buffers = [buffer.cpu().clone() for buffer in student.buffers()] if get_world_size() > 1 else []
        if runner.optim_wrapper.should_update():
            return {'buffers': buffers, 'student': [], 'adapters': []}
        return {'buffers': buffers, 'student': gradients_of(student), 'adapters': gradients_of(adapters)}

    def _teach(self, inputs: Tensor, data_samples: Sequence[Any], losses: dict[str, Any]) -> dict[str, Tensor]:
        self._lesson = lesson = self.distiller.lesson(inputs, data_samples, losses, self._factor)
        assert self.distiller.adapters is not None
        self.adapter_optimizer.attach(self.distiller.adapters)
        return lesson.losses

    def _show(self, runner: Runner, step: int) -> None:
        means, absent = self.monitor.read()
        if not means:
            return
        guard = self.distiller.guard
        if guard is not None:
            before, self._told = self._told, guard.read()
            for line in news(before, self._told, absent, guard):
                runner.logger.warning(f'mtkd_rl: {line}')
            means |= self._told.scalars()
        runner.visualizer.add_scalars({f'mtkd/{name}': value for name, value in means.items()}, step=step)
        kind = self.monitor.kinds[0]
        for name in self.monitor.teachers:
            runner.message_hub.update_scalar(f'train/w_{name}', means[f'weight_{kind}/{name}/mean'])


def _common_seed(runner: Runner) -> int:
    """Rank 0's seed: with ``diff_rank_seed`` each has its own, but adapters and agent must be the same everywhere."""
    seed = [runner.seed or 0]
    broadcast_object_list(seed)
    return seed[0]


def check_runner(runner: Runner) -> None:
    """Refuses what cannot be distilled, or not by several processes.

    Raises:
        MTKDError: The student is sharded or has several optimizers, there are no samples, or the processes get
            different numbers of them, which would let one wait for the others for ever.
    """
    if is_model_wrapper(runner.model) and not isinstance(runner.model, DistributedDataParallel | DataParallel):
        raise MTKDError(
            f'{type(runner.model).__name__}: mtkd_rl needs the whole student in every process; wrap it in '
            'MMDistributedDataParallel, which is the default'
        )
    if isinstance(runner.optim_wrapper, OptimWrapperDict):
        raise MTKDError(
            f'{type(runner.optim_wrapper).__name__}: several optimizers are not supported, since the adapters follow '
            'one; give the student one optim_wrapper'
        )
    if len(runner.train_dataloader.dataset) == 0:
        raise MTKDError('train_dataloader: its data set has no samples; correct its ann_file, data_prefix or split')
    sizes = all_gather_object(_samples(runner.train_dataloader))
    if len(set(sizes)) > 1:
        raise MTKDError(
            f'the processes get {sizes} samples an epoch; let the sampler give each as many (DefaultSampler: '
            'round_up=True)'
        )


def _samples(loader: Any) -> tuple[int, int] | None:
    """Samples and batches of this process in an epoch; ``None`` where there is no end."""
    try:
        return len(loader.sampler), len(loader)
    except TypeError:
        return None


def check_says(task: Task, loss: LogitLoss | None) -> None:
    """Refuses a logit loss that compares another thing than a task's models say.

    Raises:
        MTKDError: It does.
    """
    of = getattr(loss, 'of', 'classes')
    if loss is not None and of not in task.says:
        raise MTKDError(
            f'logit_loss: {type(loss).__name__} compares {OF[of]}, and a student of the task {type(task).__name__} '
            f'gives {OF[task.says[0]]}; leave it out for {task.logit_loss["type"]}'
        )


def epoch_length(loader: DataLoader[Any]) -> float:
    """Iterations in which all processes together see every sample once.

    Loops that count iterations sample without end, and mmengine's sampler then says the length of the whole data set,
    not of a process's share.
    """
    shares = get_world_size() if isinstance(loader.sampler, InfiniteSampler) else 1
    return len(loader) / shares


def schedule(now: float, begin: float, end: float | None, warmup: float) -> float:
    """How strong distillation is at a time, in [0, 1].

    Args:
        now: Epochs or iterations done.
        begin: When it begins.
        end: When it ends; ``None`` for never.
        warmup: How long it grows linearly after ``begin``.
    """
    if now < begin or (end is not None and now >= end):
        return 0.0
    return 1.0 if warmup <= 0 else min(1.0, (now - begin) / warmup)


def _before_forward(hook: MTKDHook, student: nn.Module) -> Callable[..., None]:
    """A closure, not a bound method: see ``mtkd_rl.taps``."""

    def start(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if module is student and hook._factor > 0 and kwargs.get('mode') == 'loss':
            hook._samples = hook.distiller.task.keep(kwargs['data_samples'])
            hook.distiller.student_taps.start()

    return start


def _after_forward(
    hook: MTKDHook, student: nn.Module, teach: Callable[[Tensor, Sequence[Any], dict[str, Any]], dict[str, Tensor]]
) -> Callable[..., Any]:
    """Adds the distillation losses to the student's own; a closure for the same reason."""

    def add(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], losses: Any) -> Any:
        if module is student and hook._factor > 0 and kwargs.get('mode') == 'loss':
            samples, hook._samples = hook._samples, ()
            return {**losses, **teach(kwargs['inputs'], samples, losses)}
        return losses

    return add
