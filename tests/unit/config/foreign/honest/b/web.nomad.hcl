variable "tag" { default = "1" }
job "web" {
  datacenters = ["dc1"]
  type = "service"
  update { max_parallel = 1 }
  constraint {
    attribute = "${attr.kernel.name}"
    value = "linux"
  }
  group "web" {
    count = 3
    network {
      mode = "bridge"
      port "http" { to = 8080 }
    }
    service { 
      name = "web"
      port = "http"
      check { 
        type = "http" 
        path = "/" 
        interval = "10s" 
        timeout = "2s" 
      }
    }
    task "server" {
      driver = "docker"
      user = "1000"
      config {
        image   = "ghcr.io/x/web:${var.tag}"
        ports   = ["http"]
        args    = ["-listen", ":${NOMAD_PORT_http}"]
        cap_drop = ["all"]
        volumes = ["local/conf:/etc/app", "secrets/x:/x:ro"]
        mount {
          type = "volume"
          target = "/data"
          source = "data"
        }
        logging {
          type = "json-file"
          config { max-size = "10m" }
        }
      }
      env { A = "b" }
      template {
        data = <<EOH
listen {{ env "NOMAD_PORT_http" }}
EOH
        destination = "local/conf/x"
      }
      resources { 
        cpu = 100 
        memory = 128 
      }
    }
  }
}
