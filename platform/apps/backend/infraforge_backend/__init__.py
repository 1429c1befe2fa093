"""The platform's backend: projects and files, cached in Redis, kept in PostgreSQL and MinIO.

wsgi → app → web (the gate) → projects, files, trail, platform, health → services
jobs → outbox → bus (NATS) → worker
services: vault (credentials) → database, cache (Redis), objects (MinIO), platform_api, heartbeat
pure: access, epoch, headers, validation, config
"""
