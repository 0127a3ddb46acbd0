"""What the tests of all kinds of trials share."""

import pytest

pytest.register_assert_rewrite("shelves")
