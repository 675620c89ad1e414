"""ProgramService: proto to domain and back, nothing else."""
# the contract names the methods

from kit.auth import identity_of
from kit.clock import parse_time
from kit.interceptor import Context
from kit.paging import decode_token, encode_token, page_size
from laurel.program.v1 import program_service_pb2 as pb
from laurel.program.v1.program_service_pb2_grpc import ProgramServiceServicer
from program.render import render_differences, render_mistakes, render_version
from program.store import VersionStore, find_mistakes
from program.versions import Application


class ProgramService(ProgramServiceServicer):
    """Keeps every version of the program document and says which one decides."""

    def __init__(self, store: VersionStore) -> None:
        self._store = store

    async def ApplyProgram(
        self, request: pb.ApplyProgramRequest, context: Context
    ) -> pb.ApplyProgramResponse:
        """Stores a document under the next version."""
        return await self._store.apply(_parse_application(request, context), request)

    async def ValidateProgram(
        self, request: pb.ValidateProgramRequest, context: Context
    ) -> pb.ValidateProgramResponse:
        """Reports every mistake of a document."""
        mistakes = await find_mistakes(request.source_yaml, request.file)
        return pb.ValidateProgramResponse(mistakes=render_mistakes(mistakes))

    async def GetProgram(
        self, request: pb.GetProgramRequest, context: Context
    ) -> pb.GetProgramResponse:
        """Returns one version."""
        version = await self._store.get(request.version)
        return pb.GetProgramResponse(program_version=render_version(version))

    async def ListProgramVersions(
        self, request: pb.ListProgramVersionsRequest, context: Context
    ) -> pb.ListProgramVersionsResponse:
        """Lists the versions, newest first."""
        before = _parse_token(request.page_token)
        versions, more = await self._store.list(before, page_size(request.page_size))
        return pb.ListProgramVersionsResponse(
            program_versions=[render_version(version) for version in versions],
            next_page_token=encode_token(versions[-1].version) if more else "",
        )

    async def DiffPrograms(
        self, request: pb.DiffProgramsRequest, context: Context
    ) -> pb.DiffProgramsResponse:
        """Compares two versions, or a version with a draft."""
        if request.WhichOneof("other") == "version":
            changes = await self._store.diff(request.base_version, request.version)
        else:
            changes = await self._store.diff_draft(request.base_version, request.source_yaml)
        return pb.DiffProgramsResponse(differences=render_differences(changes))


def _parse_application(request: pb.ApplyProgramRequest, context: Context) -> Application:
    has_time = request.HasField("effective_time")
    return Application(
        request_id=request.request_id,
        source_yaml=request.source_yaml,
        file=request.file,
        author=identity_of(context) or "",
        reason=request.reason,
        expected_version=request.expected_version,
        effective_time=parse_time(request.effective_time, "effective_time") if has_time else None,
    )


def _parse_token(token: str) -> int | None:
    key = decode_token(token, int)
    # Beyond the range of the column nothing can be asked for.
    return min(max(int(str(key[0])), 0), 2**31 - 1) if key is not None else None
