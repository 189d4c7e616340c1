const IDLE = "trap 'exit 0' TERM; while :; do sleep 0.2; done";

/** A project of five services, and one that a profile asks for; its proxy is published on a port of 127.0.0.1. Needs the files `password` and `page` beside it. */
export const projectOn = (onPort: number): string => `
name: five
services:
  db:
    image: busybox
    command: sh -c "mkdir -p /www; echo db > /www/index.html; touch /tmp/ready; httpd -p 80 -h /www; ${IDLE}"
    healthcheck: { test: [CMD, test, -f, /tmp/ready], interval: 500ms, retries: 20 }
    volumes: [data:/data]
    networks: { back: { aliases: [database, store] } }
    secrets: [password]
  api:
    image: busybox
    command: sh -c "cat /run/secrets/password; wget -qO- http://database/; echo mode $$MODE; ${IDLE}"
    depends_on: { db: { condition: service_healthy }, init: { condition: service_completed_successfully } }
    networks: [back, front]
    secrets: [password]
    environment: { MODE: "\${MODE:-one}" }
  init:
    image: busybox
    command: echo init done
    networks: [back]
  worker:
    image: busybox
    command: sh -c "echo working; ${IDLE}"
    depends_on: [api]
    networks: [back]
    deploy: { replicas: 2, resources: { limits: { memory: 64M } } }
  proxy:
    image: busybox
    command: sh -c "httpd -p 80 -h /www; ${IDLE}"
    ports: ["127.0.0.1:${onPort}:80"]
    networks: { front: { ipv4_address: 10.77.0.10 } }
    configs: [{ source: page, target: /www/page }]
    extra_hosts: ["elsewhere:10.1.2.3"]
  debug:
    image: busybox
    profiles: [debug]
    command: echo debugging
    networks: [back]
networks:
  back: { internal: true }
  front: { ipam: { config: [{ subnet: 10.77.0.0/24 }] } }
volumes: { data: { labels: { a: b } } }
secrets: { password: { file: ./password } }
configs: { page: { file: ./page } }
`;
