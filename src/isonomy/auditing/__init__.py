"""The audit of predictions by group, and its result."""

from isonomy.auditing._audit import audit
from isonomy.auditing.result import AuditResult

__all__ = ["AuditResult", "audit"]
