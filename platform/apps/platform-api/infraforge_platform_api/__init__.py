"""The platform API: each component's health and images, and the few actions on components.

wsgi → app → web (the gate) → reading, doing → services
services: kube (the API server) → callers, snapshot, actions; registry
pure: access, components, config, images, limits, openapi, problems, validation
"""
