"""Template deployments of Microsoft.Resources: a template and parameters in, ordered documents and outputs out.

Everything here is pure: text and values in, values out. What a resource becomes is asked of two callbacks, one that
puts a resource and one that reads one; the time is a value passed in, so the same inputs always give the same
deployment.

Sources: Azure documents "Understand the structure and syntax of ARM templates", "ARM template functions" (one page a
subject), "Resource iteration", "Define the order for deploying resources", "Using linked and nested templates", "ARM
template what-if".
"""
