# Aliases; the scripts do the work and set up what they need.
.PHONY: run test check bench
run:
	scripts/run
test:
	scripts/test
check:
	scripts/test check
bench:
	scripts/bench
