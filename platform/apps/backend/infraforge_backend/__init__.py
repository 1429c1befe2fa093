"""The platform's backend: projects and files over HTTP, cached in Redis, kept in PostgreSQL and MinIO.

    wsgi → app → (api_*: one file for each kind of resource) → services
    services: vault (credentials) → database, cache (Redis), objects (MinIO), heartbeat
    pure: access, epoch, headers, problems, validation, config
"""
