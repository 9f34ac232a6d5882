# Aliases; the scripts do the work and set up what they need.
.PHONY: run test check bench soak fuzz
run:
	scripts/run
test:
	scripts/test
check:
	scripts/test check
bench:
	scripts/bench
soak:
	scripts/soak
fuzz:
	scripts/test fuzz
