/** What `lighter run hello-world` shows: which part did what on the way, and the next thing to try. */
export const GREETING = `
Hello from Lighter!
You can read this, so every part of your installation does its work:

 1. The client, "lighter run", asked the daemon over a unix socket for a container of the
    image "hello-world". (No daemon was listening? Then it started one first.)
 2. The daemon had no such image and asked a registry for it. This copy is the one that
    Lighter carries in its own registry, for machines that do not reach Docker Hub.
 3. The image came as an index of two platforms. The daemon took the one for this
    machine, checked every piece by its digest and unpacked the only layer: this program.
 4. From it the daemon made a container and had the OCI runtime start it, confined: with
    its own namespaces, file system and network address, and few privileges.
 5. A monitor beside the container carried these lines to the daemon, the daemon carried
    them to the client, and the client put them on your terminal.

Next, take a whole Ubuntu and look around in it:

    $ lighter run -it ubuntu bash

Everything else: lighter --help

`;
