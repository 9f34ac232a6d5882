"""Health probes of load balancers: who is asked, when, how, and what is thought of them."""
