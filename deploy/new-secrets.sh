#!/bin/sh
# Makes secrets/ beside compose.yaml: a password for PostgreSQL, the URL with it, a key for the mailboxes' credentials.
# What exists is left as it is. Keep a copy of encryption_keys: without it the stored credentials cannot be read.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
random() { head -c "$1" /dev/urandom | base64 | tr -d '\n'; }
[ -e secrets/postgres_password ] || random 24 | tr '+/' '-_' > secrets/postgres_password
[ -e secrets/database_url ] ||
  printf 'postgresql://warmup:%s@postgres:5432/warmup' "$(cat secrets/postgres_password)" > secrets/database_url
[ -e secrets/encryption_keys ] || printf 'k1:%s\n' "$(random 32)" > secrets/encryption_keys
# Compose mounts each file with the mode that it has here, and the containers' user is not yours: the folder keeps others out.
chmod 0700 secrets
chmod 0644 secrets/*
echo "secrets/ is ready"
