"""What the model refuses, with OpenSearch's own status and error type, and what it does not know."""

from __future__ import annotations

from typing import Any


class NotModelledError(BaseException):
    """The product asked for something that the model has no rule for: add the rule, do not guess.

    No ``Exception``, so that the product takes it for no error of a document or a job.
    """


class RefusedError(Exception):
    """OpenSearch would answer with this status and error."""

    def __init__(self, status: int, kind: str, reason: str, **more: Any) -> None:
        super().__init__(f"{status} {kind}: {reason}")
        self.status, self.kind, self.reason, self.more = status, kind, reason, more

    def error(self) -> dict[str, Any]:
        """The ``error`` of a bulk item."""
        return {"type": self.kind, "reason": self.reason, **self.more}

    def body(self) -> dict[str, Any]:
        """The whole body of an answer."""
        error = self.error()
        return {"error": {"root_cause": [error], **error}, "status": self.status}


def no_index(name: str) -> RefusedError:
    return RefusedError(404, "index_not_found_exception", f"no such index [{name}]", index=name)


def conflict(doc_id: str, why: str) -> RefusedError:
    return RefusedError(409, "version_conflict_engine_exception", f"[{doc_id}]: version conflict, {why}")


def illegal(reason: str) -> RefusedError:
    return RefusedError(400, "illegal_argument_exception", reason)


def blocked(name: str, what: str = "FORBIDDEN/8/index write (api)") -> RefusedError:
    return RefusedError(403, "cluster_block_exception", f"index [{name}] blocked by: [{what}];")
