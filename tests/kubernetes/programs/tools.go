//go:build tools

// Package programs names what is built besides the programs here, so that go.mod pins it.
package programs

import (
	_ "github.com/projectcontour/contour/cmd/contour"
	_ "helm.sh/helm/v3/cmd/helm"
	_ "k8s.io/kubernetes/test/images/agnhost"
)
