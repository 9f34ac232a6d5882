"""A fabric for tests: bring it up, run pods, ask with packets. For our own tests and for those of users."""
