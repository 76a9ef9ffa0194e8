"""Configurations that tests share."""

# Every key there is. {folder} has a file called password.
EVERYTHING = """\
version: 1
log: {level: warning, format: text}
http: {address: "127.0.0.1:5000", adminAddress: "127.0.0.1:5001", threads: 16, externalURL: "",
  drainTimeout: 1m}
storage: {filesystem: {rootDirectory: ./data}}
metadata: {sqlite: {path: ./data/index.db}}
credentials:
  hub-a: {username: a, passwordFile: {folder}/password}
  hub-b: {username: b, password: x}
proxy:
  defaultUpstream: docker.io
  upstreams:
    docker.io:
      urls: ["https://registry-1.docker.io", "http://mirror.test:5000/prefix"]
      aliases: [index.docker.io, registry-1.docker.io]
      tokenRealms: ["https://auth.docker.io"]
      credentials: [{match: "acme/**", use: [hub-a]}, {match: "**", use: [anonymous]}]
      allow: ["**"]
      deny: ["evil/**"]
      manifestTTL: 10m
      staleWhileRevalidate: 0s
      prefetchLayers: true
      tagTTLs: [{tags: "v*", ttl: 24h}]
      staleOn: [network, 5xx, 429]
      negativeTTL: 30s
      maxConnections: 32
      tls: {caFile: "", insecureSkipVerify: false}
      timeouts: {connect: 3s, firstByte: 15s, stall: 30s}
"""
