"""The program service: one table of versions, served as it is."""

from kit.server import Runtime, Service
from laurel.program.v1.program_service_pb2_grpc import add_ProgramServiceServicer_to_server
from program.service import ProgramService
from program.store import VersionStore


async def wire(runtime: Runtime) -> Service:
    """Wires the service."""
    database = await runtime.database()
    service = ProgramService(VersionStore(database, runtime.clock, runtime.new_id))
    full_name = "laurel.program.v1.ProgramService"
    return Service(
        database=database,
        servicers=[(add_ProgramServiceServicer_to_server, service, full_name)],
    )
