# Aliases; the scripts do the work and set up what they need.
.PHONY: run test check bench soak soak-security fuzz differential mutants
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
soak-security:
	scripts/soak-security
fuzz:
	scripts/test fuzz
differential:
	scripts/differential
mutants:
	scripts/mutants
