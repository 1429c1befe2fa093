"""The follower: tells Vault who is in the directory, so that what is true there counts soon."""
