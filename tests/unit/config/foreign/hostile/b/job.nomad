job "web" {
  datacenters = ["dc1"]
  group "g" {
    volume "host" {
      type   = "host"
      source = "root"
    }
    task "t" {
      driver = "docker"
      config {
        image        = "nginx:${var.tag}"
        privileged   = true # why not
        cap_add      = ["SYS_ADMIN", "NET_ADMIN"]
        volumes      = ["/var/run/docker.sock:/var/run/docker.sock", "local/x:/x"]
        devices      = [{ host_path = "/dev/sda", container_path = "/dev/sda" }]
        network_mode = "host"
        pid_mode     = "host"
        mount {
          type   = "bind"
          source = "/"
          target = "/host"
        }
        security_opt = ["seccomp=unconfined"]
      }
      template {
        data = <<EOT
privileged = true  # in a text
EOT
        destination = "x"
      }
    }
    task "raw" {
      driver = "raw_exec"
      config { command = "/bin/sh" }
    }
  }
}
