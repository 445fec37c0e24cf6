"""Messages of Envoy's ext_authz v3, generated from `ext_authz.proto` (`make generate`)."""
