"""Envoy's messages as far as they are used, compiled from `proto/` by `proto/generate.py`.

They live in a descriptor pool of their own: protobuf's default pool refuses a second file or message of the same
name, and any package that brings Envoy's full API would register just these names there.
"""

from google.protobuf import any_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import status_pb2

POOL = DescriptorPool()
for _imported in (any_pb2, struct_pb2, timestamp_pb2, status_pb2):
    POOL.AddSerializedFile(_imported.DESCRIPTOR.serialized_pb)
