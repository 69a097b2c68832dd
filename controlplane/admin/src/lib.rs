//! Requests and responses of the admin socket, and its client.
