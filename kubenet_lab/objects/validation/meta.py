"""metadata, labels and label selectors.

Source: apimachinery pkg/api/validation/objectmeta.go and pkg/apis/meta/v1/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .field import Document, Errors, items, mapping, text
from .names import Messages, label_key_errors, label_value_errors, name_is_label, name_is_subdomain, qualified_name

__all__ = ["check_annotations", "label_selector", "labels", "metadata", "selector_is_empty", "selects"]

_ANNOTATIONS_LIMIT = 256 * 1024

NameCheck = Callable[[str, bool], Messages]


def labels(values: Mapping[str, Any], path: str, errors: Errors) -> None:
    for key in sorted(values):
        errors.each(path, key, label_key_errors(key))
        errors.each(path, values[key], label_value_errors(values[key]))


def check_annotations(values: Mapping[str, Any], path: str, errors: Errors) -> None:
    size = 0
    for key in sorted(values):
        errors.each(path, key, qualified_name(key.lower()))
        size += len(key.encode()) + len(str(values[key]).encode())
    if size > _ANNOTATIONS_LIMIT:
        errors.too_long(path, _ANNOTATIONS_LIMIT)


def metadata(document: Document, namespaced: bool, name_check: NameCheck, errors: Errors) -> None:
    meta = mapping(document, "metadata")
    generate, name, namespace = text(meta, "generateName"), text(meta, "name"), text(meta, "namespace")
    if generate:
        errors.each("metadata.generateName", generate, name_check(generate, True))
    if not name:
        errors.required("metadata.name", "name or generateName is required")
    else:
        errors.each("metadata.name", name, name_check(name, False))
    if namespaced:
        if not namespace:
            errors.required("metadata.namespace")
        else:
            errors.each("metadata.namespace", namespace, name_is_label(namespace))
    elif namespace:
        errors.forbidden("metadata.namespace", "not allowed on this type")
    errors.nonnegative("metadata.generation", meta.get("generation"))
    labels(mapping(meta, "labels"), "metadata.labels", errors)
    check_annotations(mapping(meta, "annotations"), "metadata.annotations", errors)
    _owners(items(meta, "ownerReferences"), errors)
    for i, finalizer in enumerate(items(meta, "finalizers")):
        errors.each(f"metadata.finalizers[{i}]", finalizer, qualified_name(finalizer))


def _owners(owners: list[Any], errors: Errors) -> None:
    controller = ""
    for i, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{i}]"
        for part in ("apiVersion", "kind", "name", "uid"):
            if not text(owner, part):
                errors.invalid(f"{path}.{part}", "", "version must not be empty" if part == "apiVersion" else "must not be empty")
        if owner.get("controller") is True:
            name = f"{text(owner, 'kind')}/{text(owner, 'name')}"
            if controller:
                said = f'Only one reference can have Controller set to true. Found "true" in references for {controller} and {name}'
                errors.invalid("metadata.ownerReferences", owners, said)
            controller = name


def label_selector(selector: Document, path: str, errors: Errors) -> None:
    labels(mapping(selector, "matchLabels"), f"{path}.matchLabels", errors)
    for i, term in enumerate(items(selector, "matchExpressions")):
        where = f"{path}.matchExpressions[{i}]"
        values = items(term, "values")
        operator = text(term, "operator")
        if operator in ("In", "NotIn"):
            if not values:
                errors.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errors.forbidden(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        else:
            errors.invalid(f"{where}.operator", operator, "not a valid selector operator")
        errors.each(f"{where}.key", text(term, "key"), label_key_errors(text(term, "key")))
        for j, value in enumerate(values):
            errors.each(f"{where}.values[{j}]", value, label_value_errors(value))


def selector_is_empty(selector: Document) -> bool:
    return not mapping(selector, "matchLabels") and not items(selector, "matchExpressions")


def selects(selector: Document, have: Mapping[str, Any]) -> bool:
    """As `selectors.matches`, over plain documents."""
    if any(have.get(k) != v for k, v in mapping(selector, "matchLabels").items()):
        return False
    for term in items(selector, "matchExpressions"):
        key, operator, values = text(term, "key"), text(term, "operator"), items(term, "values")
        present = key in have
        if operator == "In" and not (present and have[key] in values):
            return False
        if operator == "NotIn" and present and have[key] in values:
            return False
        if operator == "Exists" and not present:
            return False
        if operator == "DoesNotExist" and present:
            return False
    return True


subdomain_name: NameCheck = name_is_subdomain
