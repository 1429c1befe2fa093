// Package controllers holds the one constant that cilium takes from the Multi-Cluster Services API's
// controllers (KEP-1645), whose module cannot be had from the module proxy.
package controllers

// DerivedServiceAnnotation names the Service that a ServiceImport was derived from.
const DerivedServiceAnnotation = "multicluster.kubernetes.io/derived-service"
