"""Pictures of compiled networks: SVG inside one HTML page, made from manifests, with nothing but Python."""
