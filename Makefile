# Aliases; the scripts do the work and set up what they need.
.PHONY: run test check bench soak soak-security soak-dns runtime-burst test-kubernetes fuzz differential mutants
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
soak-dns:
	scripts/soak-dns
runtime-burst:
	scripts/test runtime-burst
test-kubernetes:
	PODVNET_KUBERNETES_ALL=1 scripts/test kubernetes
fuzz:
	scripts/test fuzz
differential:
	scripts/differential
mutants:
	scripts/mutants
