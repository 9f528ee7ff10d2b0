/** What the stages above may know of the kernel as it is: its errors, its news, its facts. All else goes through this folder. */
export {
  BpfError,
  type BpfMap,
  dropCode,
  kernelRelease,
  libbpfVersion,
  NetWatch,
  netnsCookie,
  synchronizeRcu,
} from 'libbpf-ts';
