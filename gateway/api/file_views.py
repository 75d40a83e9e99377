"""How files and batches look to clients: OpenAI's File and Batch objects (openai-python 3.52, pure)."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from gateway.store.batches import CANCELLED, COMPLETED, EXPIRED, FAILED, Batch
from gateway.store.files import FileRow

_T = TypeVar("_T", FileRow, Batch)


def file(row: FileRow) -> dict[str, Any]:
    """OpenAI's File object."""
    return {
        "id": row.id,
        "object": "file",
        "bytes": row.size,
        "created_at": int(row.created_at),
        "expires_at": int(row.expires_at),
        "filename": row.filename,
        "purpose": row.purpose,
        "status": "processed",
        "status_details": None,
    }


def batch(row: Batch) -> dict[str, Any]:
    """OpenAI's Batch object; each of its times is there once it has come."""
    return {
        "id": row.id,
        "object": "batch",
        "endpoint": row.endpoint,
        "model": row.model,
        "errors": {"object": "list", "data": row.errors} if row.errors else None,
        "input_file_id": row.input_file,
        "completion_window": "24h",
        "status": row.status,
        "output_file_id": row.output_file,
        "error_file_id": row.error_file,
        "created_at": int(row.created_at),
        "in_progress_at": _whole(row.in_progress_at),
        "expires_at": int(row.expires_at),
        "finalizing_at": _whole(row.finalizing_at),
        "completed_at": _ended(row, COMPLETED),
        "failed_at": _ended(row, FAILED),
        "expired_at": _ended(row, EXPIRED),
        "cancelling_at": _whole(row.cancelling_at),
        "cancelled_at": _ended(row, CANCELLED),
        "request_counts": {"total": row.total, "completed": row.completed, "failed": row.failed},
        "usage": row.usage,
        "metadata": row.metadata,
    }


def page(rows: Sequence[_T], shown: Callable[[_T], dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page of them; `last_id` is what the next page is asked after."""
    return {
        "object": "list",
        "data": [shown(row) for row in rows],
        "first_id": rows[0].id if rows else None,
        "last_id": rows[-1].id if rows else None,
        "has_more": more,
    }


def _ended(row: Batch, status: str) -> int | None:
    return _whole(row.ended_at) if row.status == status else None


def _whole(time: float | None) -> int | None:
    return None if time is None else int(time)
