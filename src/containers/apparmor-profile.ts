/** What Docker calls the profile that containers get; scripts and policies know it by this name. */
export const DEFAULT_PROFILE_NAME = "docker-default";

/**
 * The AppArmor profile of containers that ask for none: everything that capabilities, namespaces and seccomp leave open, but no mounts, no
 * settings of the host by way of /proc and /sys, and signals and traces only among processes of containers.
 * @param has whether a file below /etc/apparmor.d exists, by its path there
 * @see https://gitlab.com/apparmor/apparmor/-/wikis/AppArmor_Core_Policy_Reference
 */
export function defaultProfile(has: (path: string) => boolean): string {
  // Newer rules of sockets would shut out unix sockets, which "network" stood for until then.
  const abi = has("abi/3.0") ? "abi <abi/3.0>,\n" : "";
  return `${abi}
profile ${DEFAULT_PROFILE_NAME} flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  deny mount,

  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (receive) peer=lighter,
  signal (send, receive) peer=${DEFAULT_PROFILE_NAME},
  ptrace (trace, read, tracedby, readby) peer=${DEFAULT_PROFILE_NAME},

  # Files of the kernel itself, and of its parts that have no namespace.
  deny /proc/* w,
  deny /proc/{acpi,asound,bus,driver,dynamic_debug,fs,irq,scsi,sysvipc,tty}/** w,
  deny /proc/kcore rwklx,
  deny /proc/sysrq-trigger rwklx,

  # Of the settings only kernel.sh* (shared memory) belongs to a container.
  deny /proc/sys/[^k]** w,
  deny /proc/sys/kernel/[^s]** w,
  deny /proc/sys/kernel/s[^h]** w,

  # Of /sys only the control groups.
  deny /sys/[^f]** wklx,
  deny /sys/f[^s]** wklx,
  deny /sys/fs/[^c]** wklx,
  deny /sys/fs/c[^g]** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/security/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
}
`;
}
