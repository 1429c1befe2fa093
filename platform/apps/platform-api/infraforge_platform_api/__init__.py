"""The platform API: how every component fares, what it runs, and the few things done to it.

wsgi → app → web (the gate) → reading, doing → services
services: kube (the API server) → callers, snapshot, actions; registry
pure: access, components, config, images, limits, openapi, problems, validation
"""
