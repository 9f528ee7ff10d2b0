export { bpfFsMount, isBpfFs } from './bpffs.ts';
export { type AttachedFilter, clsactAttach, clsactDetach, clsactQuery, type Filter } from './clsact.ts';
export { BpfError } from './error.ts';
export { dropCode, type KernelRelease, kernelRelease, libbpfVersion, possibleCpus, synchronizeRcu } from './kernel.ts';
export { BpfLink, type Direction, type LinkInfo, type LinkTarget } from './link.ts';
export { lockPath, type PathLock } from './lock.ts';
export { BpfMap, type MapInfo, type MapOptions, type Rows, type UpdateMode } from './map.ts';
export {
  type NetAddress,
  type NetLink,
  type NetQdisc,
  type NetRoute,
  netAddresses,
  netLinks,
  netQdiscs,
  netRequest,
  netRoutes,
  netXdpFeatures,
  type XdpFeatures,
} from './netlink.ts';
export { netnsCookie, setNetns, unshareNetns } from './netns.ts';
export { BpfObject, type LoadOptions, loadObject } from './object.ts';
export { BpfProgram, loadInstructions, type ProgramInfo, type TestResult, type TestRun } from './program.ts';
export { RingBuffer } from './ring.ts';
export {
  type ConnectAttempt,
  destroySocket,
  listSockets,
  type NetSocket,
  type SocketEnd,
  type SocketFilter,
  type SocketState,
  tryConnect,
} from './socket.ts';
export type { AttachType, CgroupAttachType, MapType, ProgramType } from './uapi.ts';
export { type NetChange, NetWatch } from './watch.ts';
