# SPDX-License-Identifier: GPL-2.0-or-later
"""The two-host Xen lab: everything behind tests/lab/lab."""
