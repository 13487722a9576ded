-- +goose Up

-- Addresses that entities have in networks. An address is a byte for its sort and
-- its own bytes. edge tells of an IP address that nobody has the one after it, so
-- that what is free is found without looking at all that is not.
CREATE TABLE addresses (
    network UUID    NOT NULL,
    address BYTEA   NOT NULL,
    holder  UUID    NOT NULL,
    edge    BOOLEAN NOT NULL,
    PRIMARY KEY (network, address)
);

CREATE INDEX addresses_holder ON addresses (holder);
CREATE INDEX addresses_edge ON addresses (network, address) WHERE edge;

-- What links have from before is in their documents only. A row of no address in
-- the network that the link itself is stands for what is to be read there.
INSERT INTO addresses SELECT id, substr(doc, 1, 0), id, FALSE FROM entities WHERE target IS NOT NULL;
CREATE INDEX addresses_unread ON addresses (holder) WHERE network = holder;

-- +goose Down
DROP TABLE addresses;
