"""Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob.

Source: pkg/apis/apps/validation/validation.go, pkg/apis/batch/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .field import Document, Errors, items, mapping, text
from .meta import check_annotations, label_selector, labels, selector_is_empty, selects
from .pods import pod_template

__all__ = ["cron_job", "daemon_set", "deployment", "job", "replica_set", "stateful_set", "stateful_set_template"]


def deployment(document: Document, errors: Errors) -> None:
    spec = mapping(document, "spec")
    errors.nonnegative("spec.replicas", spec.get("replicas"))
    _selector(spec, "deployment", errors)
    _template(spec, "ReplicaSet", errors)
    strategy = mapping(spec, "strategy")
    kind = text(strategy, "type")
    if kind == "Recreate":
        if strategy.get("rollingUpdate") is not None:
            errors.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    elif kind == "RollingUpdate":
        rolling = strategy.get("rollingUpdate")
        if rolling is None:
            errors.required("spec.strategy.rollingUpdate", "this should be defaulted and never be nil")
        else:
            _rolling(rolling, "spec.strategy.rollingUpdate", errors)
    else:
        errors.unsupported("spec.strategy.type", kind, ("Recreate", "RollingUpdate"))
    for name in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        errors.nonnegative(f"spec.{name}", spec.get(name))
    deadline = spec.get("progressDeadlineSeconds")
    if isinstance(deadline, int) and deadline <= (spec.get("minReadySeconds") or 0):
        errors.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


_PERCENT = re.compile(r"[0-9]+%")


def _rolling(rolling: Document, path: str, errors: Errors) -> None:
    zero = []
    for name in ("maxUnavailable", "maxSurge"):
        value = rolling.get(name)
        if isinstance(value, str):
            if not _PERCENT.fullmatch(value):
                said = (
                    "a valid percent string must be a numeric string followed by an ending '%' "
                    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
                )
                errors.invalid(f"{path}.{name}", value, said)
            elif name == "maxUnavailable" and int(value[:-1]) > 100:
                errors.invalid(f"{path}.{name}", value, "must not be greater than 100%")
        else:
            errors.nonnegative(f"{path}.{name}", value)
        zero.append(value in (0, "0%"))
    if all(zero):
        errors.invalid(f"{path}.maxUnavailable", rolling.get("maxUnavailable"), "may not be 0 when `maxSurge` is 0")


def _selector(spec: Document, noun: str, errors: Errors) -> None:
    """A selector that is there, is valid, is not empty and selects the template's labels."""
    selector = spec.get("selector")
    if not isinstance(selector, Mapping):
        errors.required("spec.selector")
        return
    label_selector(selector, "spec.selector", errors)
    if selector_is_empty(selector):
        errors.invalid("spec.selector", selector, f"empty selector is invalid for {noun}")
        return
    have = mapping(mapping(mapping(spec, "template"), "metadata"), "labels")
    if not selects(selector, have):
        errors.invalid("spec.template.metadata.labels", have, "`selector` does not match template `labels`")


def _template(spec: Document, noun: str, errors: Errors) -> None:
    template = mapping(spec, "template")
    pod_template(template, "spec.template", errors)
    _always(template, noun, errors)


def _always(template: Document, noun: str, errors: Errors) -> None:
    inner = mapping(template, "spec")
    if text(inner, "restartPolicy") in ("OnFailure", "Never"):
        errors.unsupported("spec.template.spec.restartPolicy", inner["restartPolicy"], ("Always",))
    if inner.get("activeDeadlineSeconds") is not None:
        errors.forbidden("spec.template.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {noun} is not Supported")


def replica_set(document: Document, errors: Errors) -> None:
    spec = mapping(document, "spec")
    errors.nonnegative("spec.replicas", spec.get("replicas"))
    errors.nonnegative("spec.minReadySeconds", spec.get("minReadySeconds"))
    _selector(spec, "deployment", errors)  # the API server says "deployment" here too
    _template(spec, "ReplicaSet", errors)


def daemon_set(document: Document, errors: Errors) -> None:
    spec = mapping(document, "spec")
    _selector(spec, "daemonset", errors)
    _template(spec, "DaemonSet", errors)
    kind = text(mapping(spec, "updateStrategy"), "type")
    if kind not in ("OnDelete", "RollingUpdate"):
        errors.unsupported("spec.updateStrategy.type", kind, ("OnDelete", "RollingUpdate"))


def stateful_set(document: Document, errors: Errors) -> None:
    """As the API server: the pod spec of the template is not checked here, its pods fail one by one (`stateful_set_template`)."""
    spec = mapping(document, "spec")
    policy = text(spec, "podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        errors.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    kind = text(mapping(spec, "updateStrategy"), "type")
    if kind not in ("OnDelete", "RollingUpdate"):
        errors.invalid("spec.updateStrategy", mapping(spec, "updateStrategy"), "must be 'RollingUpdate' or 'OnDelete'")
    errors.nonnegative("spec.replicas", spec.get("replicas"))
    errors.nonnegative("spec.ordinals.start", mapping(spec, "ordinals").get("start"))
    _selector(spec, "statefulset", errors)
    template = mapping(spec, "template")
    meta = mapping(template, "metadata")
    labels(mapping(meta, "labels"), "spec.template.labels", errors)
    check_annotations(mapping(meta, "annotations"), "spec.template.annotations", errors)
    _always(template, "StatefulSet", errors)


def stateful_set_template(document: Document, errors: Errors) -> None:
    """What would stop a StatefulSet's pods from being created."""
    spec = mapping(document, "spec")
    claims = tuple(text(mapping(c, "metadata"), "name") for c in items(spec, "volumeClaimTemplates"))
    pod_template(mapping(spec, "template"), "spec.template", errors, claims)


def job(document: Document, errors: Errors) -> None:
    _job_spec(mapping(document, "spec"), "spec", errors)


def _job_spec(spec: Document, path: str, errors: Errors) -> None:
    for name in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"):
        errors.nonnegative(f"{path}.{name}", spec.get(name))
    mode = spec.get("completionMode")
    if mode is not None and mode not in ("Indexed", "NonIndexed"):
        errors.unsupported(f"{path}.completionMode", mode, ("Indexed", "NonIndexed"))
    if mode == "Indexed" and spec.get("completions") is None:
        errors.required(f"{path}.completions", "when completion mode is Indexed")
    template = mapping(spec, "template")
    pod_template(template, f"{path}.template", errors)
    restart = text(mapping(template, "spec"), "restartPolicy")
    if restart == "Always":
        errors.required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')


_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_CRON_FIELD = re.compile(r"[0-9A-Za-z*?/,-]+")
_CRON_NUMBERS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def cron_job(document: Document, errors: Errors) -> None:
    spec = mapping(document, "spec")
    schedule = text(spec, "schedule")
    if not schedule:
        errors.required("spec.schedule")
    else:
        said = _schedule_error(schedule)
        if said:
            errors.invalid("spec.schedule", schedule, said)
    errors.nonnegative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    policy = text(spec, "concurrencyPolicy")
    if not policy:
        errors.required("spec.concurrencyPolicy")
    elif policy not in ("Allow", "Forbid", "Replace"):
        errors.unsupported("spec.concurrencyPolicy", policy, ("Allow", "Forbid", "Replace"))
    for name in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        errors.nonnegative(f"spec.{name}", spec.get(name))
    inner = mapping(spec, "jobTemplate")
    labels(mapping(mapping(inner, "metadata"), "labels"), "spec.jobTemplate.labels", errors)
    _job_spec(mapping(inner, "spec"), "spec.jobTemplate.spec", errors)
    name = text(mapping(document, "metadata"), "name")
    if len(name) > 52:
        errors.invalid("metadata.name", name, "must be no more than 52 characters")


def _schedule_error(schedule: str) -> str:
    """What robfig/cron says of a standard schedule: five fields or a macro."""
    if schedule.startswith("@"):
        known = schedule in _MACROS or re.fullmatch(r"@every [0-9].*", schedule)
        return "" if known else f"unrecognized descriptor: {schedule}"
    parts = schedule.split()
    if len(parts) != 5:
        return f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
    for part, (low, high) in zip(parts, _CRON_NUMBERS, strict=True):
        if not _CRON_FIELD.fullmatch(part):
            return f'failed to parse int from {part}: strconv.Atoi: parsing "{part}": invalid syntax'
        for one in re.split("[,/-]", part.partition("/")[0]):
            if one.isdigit() and int(one) > high:
                return f"end of range ({int(one)}) above maximum ({high}): {part}"
            if one.isdigit() and int(one) < low:
                return f"beginning of range ({int(one)}) below minimum ({low}): {part}"
    return ""
